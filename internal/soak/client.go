package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

const (
	liveness   = 3 * time.Second
	readLimit  = 64 << 10
	patience   = 20 * time.Second // of a SendConfirmed
	atOnce     = 4                // calls of SendConfirmed under way
	sendBuffer = 16 << 10         // small, so that writes block soon when the peer does not read
)

// A client is a client of the library, with goroutines that send all the time.
type client struct {
	*wechatws.Client
	account  *account
	forgets  bool       // it drops instead of refusing: the oldest message, and expired ones
	saying   sync.Mutex // numbers are in the order of the calls
	bouncing sync.Mutex // one Close and Connect at a time
	links    int        // logins so far; used by the login function only
}

func newClient(url string, a *account) (*client, error) {
	c := &client{account: a, forgets: a.client%2 == 1}
	whenFull := wechatws.QueueFail
	if c.forgets {
		whenFull = wechatws.QueueDropOldest
	}
	var err error
	c.Client, err = wechatws.New(url,
		wechatws.WithProxy(nil),
		wechatws.WithNetDial(c.dial),
		wechatws.WithDialTimeout(2*time.Second),
		wechatws.WithReadLimit(readLimit),
		wechatws.WithLogin(c.login),
		wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 500 * time.Millisecond}),
		wechatws.WithLiveness(wechatws.Liveness{Interval: 500 * time.Millisecond, Timeout: liveness}),
		wechatws.WithTiers(wechatws.Tier{Delay: 100 * time.Millisecond, Attempts: 5},
			wechatws.Tier{Delay: 300 * time.Millisecond, Attempts: 10}, wechatws.Tier{Delay: time.Second}),
		wechatws.WithJitter(0.2),
		wechatws.WithStableAfter(250*time.Millisecond),
		wechatws.WithQueue(64, 1<<20, whenFull),
		wechatws.WithDrainTimeout(200*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	c.OnOpen(func(_ context.Context, e wechatws.OpenEvent) { a.opened(e.Connection) })
	c.OnClose(func(_ context.Context, e wechatws.CloseEvent) {
		a.ended(e.Connection, e.Err, errors.Is(e.Err, wechatws.ErrReconnect))
	})
	c.OnStateChange(func(_ context.Context, change wechatws.StateChange) {
		if change.To == wechatws.StateFailed {
			a.fail("has failed: %v", change.Err)
		}
	})
	c.OnError(func(_ context.Context, err error) { c.onError(err) })
	wechatws.On(c.Client, news, func(_ context.Context, m wechatws.Message) {
		p, err := readPacket(m.Data)
		if err != nil {
			a.fail("news that cannot be read: %v", err)
			return
		}
		a.news(m.Connection, p, m.Received)
	})
	return c, nil
}

// dial makes a connection with a tap on it.
func (c *client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.TCPConn).SetWriteBuffer(sendBuffer)
	return newTap(conn, c.account), nil
}

// login numbers the connection as the library does, which calls it on each connection that it
// counts.
func (c *client) login(context.Context) (any, error) {
	c.links++
	return packet{Type: login, Client: c.account.client, Link: c.links}, nil
}

// onError records dropped messages and panics, and ignores other errors.
func (c *client) onError(err error) {
	var drops *wechatws.DroppedError
	var panicked *wechatws.PanicError
	switch {
	case errors.As(err, &drops):
		for _, m := range drops.Messages {
			if p, err := readPacket(m.Data); err != nil || p.Type != plain {
				c.account.fail("a drop notice for %.60q, which is no plain message", m.Data)
			} else {
				c.account.given(p.Number, dropped)
			}
		}
		c.account.droppedMore(drops.More)
	case errors.As(err, &panicked):
		c.account.fail("%v\n%s", panicked, panicked.Stack)
	}
}

// connect blocks until the client is open.
func (c *client) connect() {
	ctx, cancel := context.WithTimeout(context.Background(), outage)
	defer cancel()
	c.account.connecting()
	if err := c.Connect(ctx); err != nil {
		c.account.fail("Connect: %v", err)
	}
}

// shut closes the client, and records the messages that it hands back.
func (c *client) shut() {
	c.account.closing()
	err := c.Close(wechatws.StatusNormalClosure, "")
	<-c.Done()
	var left *wechatws.UndeliveredError
	if errors.As(err, &left) {
		for _, m := range left.Messages {
			switch p, err := readPacket(m.Data); {
			case err == nil && p.Type == plain:
				c.account.given(p.Number, returned)
			case err == nil && p.Type == confirmed:
				c.account.callReturned(p.Number)
			default:
				c.account.fail("Close handed back %.60q, which was never sent", m.Data)
			}
		}
	} else if err != nil {
		c.account.fail("Close: %v", err)
	}
	c.account.closed()
}

// bounce closes the client and connects it again, unless another bounce is under way.
func (c *client) bounce(pause time.Duration) bool {
	if !c.bouncing.TryLock() {
		return false
	}
	defer c.bouncing.Unlock()
	c.shut()
	time.Sleep(pause)
	c.connect()
	return true
}

// talk sends plain messages until ctx ends: many small ones and a few large ones.
func (c *client) talk(ctx context.Context, rng *rand.Rand) {
	for sleep(ctx, exponential(rng, 100*time.Millisecond)) {
		size := rng.IntN(300)
		if rng.IntN(100) == 0 {
			size = rng.IntN(60 << 10)
		}
		var options []wechatws.SendOption
		if c.forgets && rng.IntN(10) == 0 {
			options = append(options, wechatws.ExpireAfter(500*time.Millisecond))
		}
		number := c.say(size, options...)
		if !c.forgets && rng.IntN(100) == 0 {
			c.flush(ctx, number)
		}
	}
}

// shout sends more at once than a socket accepts whose peer does not read.
func (c *client) shout(rng *rand.Rand) {
	for range 60 {
		c.say(rng.IntN(16 << 10))
	}
}

// say sends one plain message.
func (c *client) say(size int, options ...wechatws.SendOption) (number int) {
	c.saying.Lock()
	defer c.saying.Unlock()
	number = c.account.offer()
	p := packet{Type: plain, Client: c.account.client, Number: number, Padding: padding(size)}
	err := c.Send(context.Background(), p, options...)
	c.account.answered(number, err)
	if err != nil && !errors.Is(err, wechatws.ErrQueueFull) && !errors.Is(err, wechatws.ErrClosed) {
		c.account.fail("Send: %v", err)
	}
	return number
}

func (c *client) flush(ctx context.Context, upTo int) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if c.Flush(ctx) == nil {
		c.account.flushed(upTo)
	}
}

// insist sends confirmed messages until ctx ends, and returns when all calls have returned.
func (c *client) insist(ctx context.Context, rng *rand.Rand) {
	var calls sync.WaitGroup
	defer calls.Wait()
	places := make(chan struct{}, atOnce)
	for sleep(ctx, exponential(rng, 700*time.Millisecond)) {
		places <- struct{}{}
		calls.Go(func() {
			defer func() { <-places }()
			err := c.confirm(patience)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, wechatws.ErrClosed) {
				c.account.fail("SendConfirmed: %v", err)
			}
		})
	}
}

// confirm sends one confirmed message.
func (c *client) confirm(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	deadline, _ := ctx.Deadline()
	number := c.account.begin(deadline)
	p := packet{Type: confirmed, Client: c.account.client, Number: number}
	_, err := c.SendConfirmed(ctx, p, func(m wechatws.Message) bool {
		answer, err := readPacket(m.Data)
		return err == nil && answer.Type == confirmation && answer.Number == number
	}, wechatws.ConfirmTimeout(time.Second))
	switch {
	case err == nil:
		c.account.confirmed(number)
	case errors.Is(err, wechatws.ErrClosed):
		c.account.cut(number)
	default:
		c.account.gaveUp(number)
	}
	if err != nil {
		return fmt.Errorf("message %d: %w", number, err)
	}
	return nil
}

// exponential returns a random time with this mean.
func exponential(rng *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(rng.ExpFloat64() * float64(mean))
}

// sleep waits for d. It returns early, with false, when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
