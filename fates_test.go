package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// Something ends a SendConfirmed in the moment in which Close is called. Either the call returns
// that, or it returns ErrClosed and Close hands the message back.
func TestOneFateWhenCloseIsCalled(t *testing.T) {
	for name, when := range map[string]func(w *world, c *client, ctx context.Context, end func()){
		"it is confirmed": func(w *world, c *client, _ context.Context, end func()) {
			w.echo()
			c.OnMessage(func(context.Context, wechatws.Message) { end() })
		},
		"its context ends": func(_ *world, _ *client, ctx context.Context, end func()) {
			context.AfterFunc(ctx, end)
		},
		"the peer refuses it": func(w *world, c *client, _ context.Context, end func()) {
			w.refuse("1")
			c.OnClose(func(_ context.Context, e wechatws.CloseEvent) {
				if e.Connection == 2 {
					end()
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 300 {
				virtual(t, func(t *testing.T, w *world) {
					c := w.client(quiet()...)
					closed := make(chan error, 1)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					when(w, c, ctx, func() { closed <- c.Close(wechatws.StatusNormalClosure, "") })
					result := <-c.connect().confirm(ctx, 1)
					if errors.Is(result, wechatws.ErrClosed) {
						var left *wechatws.UndeliveredError
						require.ErrorAs(t, <-closed, &left)
						require.Equal(t, []string{"1"}, outgoing(left.Messages))
					} else {
						require.NoError(t, <-closed, "the call has returned %v", result)
					}
				})
			}
		})
	}
}

// A message waits in the queue, not in flight, while the one before it is written by a user's
// connection, or encoded. So it is not written if its call ends meanwhile.
func TestWhatWaitsIsNotInFlight(t *testing.T) {
	never := func(wechatws.Message) bool { return false }
	verbs := map[string]func(ctx context.Context, c *client) error{
		"Request": func(ctx context.Context, c *client) error {
			_, err := c.Request(ctx, wechatws.Text("ended"), never)
			return err
		},
		"SendConfirmed": func(ctx context.Context, c *client) error {
			_, err := c.SendConfirmed(ctx, wechatws.Text("ended"), never)
			return err
		},
		"FailFast": func(ctx context.Context, c *client) error {
			return c.Send(ctx, wechatws.Text("ended"), wechatws.FailFast())
		},
	}
	var slow atomic.Bool
	minute := func() {
		if slow.Load() {
			time.Sleep(time.Minute)
		}
	}
	for name, before := range map[string]struct {
		dialer transport.Dialer
		value  any
	}{
		"user's connection": {delayDialer(minute), wechatws.Text("before")},
		"EncodeOnWrite":     {coder.Dialer{}, slowValue(minute)},
	} {
		for verb, call := range verbs {
			t.Run(name+"/"+verb, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c := w.client(append(quiet(), wechatws.WithDialer(before.dialer))...).connect()
					for range 3 {
						slow.Store(false)
						require.NoError(t, c.Send(t.Context(), before.value, wechatws.EncodeOnWrite()))
						slow.Store(true)
						w.sleep(time.Millisecond)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second) // the second one is being written then
					defer cancel()
					require.ErrorIs(t, call(ctx, c), context.DeadlineExceeded)
					w.sleep(time.Hour)
					got := received(w.conn())
					require.Len(t, got, 3)
					require.NotContains(t, got, "ended")
					c.close()
				})
			})
		}
	}
}

// A delayDialer makes connections that call it before each Write.
type delayDialer func()

func (d delayDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	conn, resp, err := coder.Dialer{}.Dial(ctx, h)
	return delayConn{conn, d}, resp, err
}

type delayConn struct {
	transport.Conn
	delay func()
}

func (c delayConn) Write(typ transport.MessageType, p []byte) error {
	c.delay()
	return c.Conn.Write(typ, p)
}

// A Request that has expired when its write fails does not wait for another connection.
func TestARequestThatExpiresInFlight(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		conn.StopReading()
		result := make(chan error, 1)
		go func() {
			text := wechatws.Text(strings.Repeat("x", 1<<20))
			_, err := c.Request(t.Context(), text, isOfType("never"), wechatws.ExpireAfter(time.Minute))
			result <- err
		}()
		w.sleep(time.Hour)
		require.Empty(t, result, "it is being written")
		w.srv.Stop(wstest.RST)
		w.sleep(time.Second)
		require.Len(t, result, 1)
		require.Equal(t, wechatws.ErrExpired, <-result)
		require.NoError(t, c.CloseNow())
	})
}

// Whatever happens to connections, a message whose call has returned an error is not received on
// a connection that is made later.
func TestEndedCallsOnRandomConnections(t *testing.T) {
	for seed := range uint64(20) {
		virtual(t, func(t *testing.T, w *world) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Second}))...).connect()
			var mu sync.Mutex
			ended := map[string]int{} // by message: how many connections there had been
			var calls sync.WaitGroup
			for g := range 4 {
				pause, patience := time.Duration(rnd.IntN(300)), time.Duration(1+rnd.IntN(2000))
				calls.Go(func() {
					for n := range 20 {
						time.Sleep(pause * time.Millisecond)
						text := fmt.Sprint(g, " ", n)
						ctx, cancel := context.WithTimeout(t.Context(), patience*time.Millisecond)
						data := wechatws.Text(text + strings.Repeat(" ", 30<<10))
						never := func(wechatws.Message) bool { return false }
						var err error
						switch (g + n) % 3 {
						case 0:
							_, err = c.Request(ctx, data, never)
						case 1:
							_, err = c.SendConfirmed(ctx, data, never)
						case 2:
							err = c.Send(ctx, data, wechatws.FailFast())
						}
						cancel()
						if opens := c.Stats().Opens; err != nil {
							mu.Lock()
							ended[text] = opens
							mu.Unlock()
						}
					}
				})
			}
			for range 30 {
				time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
				conns := w.srv.Conns()
				conn := conns[len(conns)-1]
				switch rnd.IntN(4) {
				case 0:
					conn.Cut(wstest.RST)
				case 1:
					conn.ResumeReading()
				default:
					conn.StopReading()
				}
			}
			calls.Wait()
			w.sleep(time.Minute)
			for i, conn := range w.srv.Conns() {
				for _, text := range received(conn) {
					if opens, ok := ended[strings.TrimSpace(text)]; ok {
						require.LessOrEqual(t, i+1, opens, "seed %d", seed)
					}
				}
			}
			require.NoError(t, c.CloseNow())
		})
	}
}
