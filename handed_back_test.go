package wechatws_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Every accepted message ends in one way, which is reported once: it is written, confirmed,
// dropped or handed back.

// stuck connects a client whose server reads nothing any more, and fills the buffers between
// them.
func stuck(w *world, options ...wechatws.Option) (*client, *wstest.Conn) {
	c := w.client(append(quiet(), options...)...).connect()
	conn := w.conn()
	conn.StopReading()
	c.send(strings.Repeat("x", 900<<10))
	w.sleep(time.Minute)
	return c, conn
}

// With QueueDropOldest Send never waits for the network, also when all queued messages are
// being written.
func TestDropOldestDoesNotWaitForTheNetwork(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, _ := stuck(w, wechatws.WithQueue(1, 1<<20, wechatws.QueueDropOldest))
		require.Equal(t, 1, c.Stats().Queued)
		now, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		require.NoError(t, c.Send(now, wechatws.Text("2")))
		require.NoError(t, c.Send(now, wechatws.Text("3")))
		require.Equal(t, 2, c.Stats().Queued, "the newest, beside the one that is being written")
		w.sleep(0)
		require.Len(t, c.errors(), 1)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.CloseNow(), &left)
		require.Len(t, left.Messages, 2)
		require.Equal(t, "3", string(left.Messages[1].Data))
	})
}

// A message whose call has returned with an error is not written later, also when its write
// was under way then and fails.
func TestAMessageOfAnEndedCallIsNotWritten(t *testing.T) {
	never := func(wechatws.Message) bool { return false }
	text := wechatws.Text("pay" + strings.Repeat("x", 900<<10))
	for name, call := range map[string]func(ctx context.Context, c *client) error{
		"Request": func(ctx context.Context, c *client) error {
			_, err := c.Request(ctx, text, never)
			return err
		},
		"SendConfirmed": func(ctx context.Context, c *client) error {
			_, err := c.SendConfirmed(ctx, text, never)
			return err
		},
		"FailFast": func(ctx context.Context, c *client) error { return c.Send(ctx, text, wechatws.FailFast()) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...).connect()
				conn := w.conn()
				conn.StopReading()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.ErrorIs(t, call(ctx, c), context.DeadlineExceeded)
				w.sleep(time.Minute)
				require.Equal(t, 1, c.Stats().Queued, "it is being written")
				conn.Cut(wstest.RST)
				w.sleep(10 * time.Second)
				require.Equal(t, 2, c.Stats().Opens)
				require.Zero(t, c.Stats().Queued)
				require.Empty(t, received(w.conn()))
				require.Empty(t, c.errors(), "the call has returned the error")
				c.close()
			})
		})
	}
}

// Close hands back what Send has accepted. A Request returns the error itself.
func TestCloseDoesNotHandBackARequest(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		result := make(chan error, 1)
		go func() {
			_, err := c.Request(t.Context(), "asked", isOfType("never"))
			result <- err
		}()
		w.sleep(0)
		c.send("sent")
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
		require.Equal(t, []string{"sent"}, outgoing(left.Messages))
		require.Equal(t, wechatws.ErrClosed, <-result)
	})
}

// A SendConfirmed that begins while Shutdown waits for the confirmations of others is refused.
func TestShutdownEndsWithTheConfirmations(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		first := c.confirm(t.Context(), 1)
		w.sleep(0)
		second := c.confirm(t.Context(), 2)
		w.sleep(0)
		ended := make(chan error, 1)
		go func() { ended <- c.Shutdown(t.Context()) }()
		w.sleep(time.Second)
		require.ErrorIs(t, <-c.confirm(t.Context(), 3), wechatws.ErrClosed)
		require.NoError(t, conn.Send(`{"msg_type":"x","echo":1}`))
		w.sleep(0)
		require.NoError(t, conn.Send(`{"msg_type":"x","echo":2}`))
		require.NoError(t, <-first)
		require.NoError(t, <-second)
		require.NoError(t, <-ended)
		require.Equal(t, []string{"1", "2"}, received(conn))
	})
}

// Of several calls at a time one hands the messages back.
func TestMessagesAreHandedBackOnce(t *testing.T) {
	for first, one := range endings {
		for second, two := range endings {
			t.Run(first+" and "+second, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c := w.client(quiet()...).connect()
					w.conn().StopReading()
					for range 4 {
						require.NoError(t, c.Send(t.Context(), wechatws.Text(make([]byte, 1<<20-1))))
					}
					errs := make(chan error, 3)
					go func() { errs <- one(c) }()
					synctest.Wait()
					go func() { errs <- two(c) }()
					synctest.Wait()
					go func() { errs <- c.CloseNow() }()
					handedBack := 0
					for range 3 {
						var left *wechatws.UndeliveredError
						if errors.As(<-errs, &left) {
							handedBack++
							assert.NotEmpty(t, left.Messages)
						}
					}
					require.Equal(t, 1, handedBack)
					<-c.Done()
				})
			})
		}
	}
}

// A slowNetConn is a network connection of the user whose Write returns late.
type slowNetConn struct {
	net.Conn
	slow *atomic.Bool
}

func (c slowNetConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.slow.Load() {
		time.Sleep(500 * time.Millisecond)
	}
	return n, err
}

// Close does not hand back what a write under way has written, also when the connection ends
// meanwhile.
func TestAMessageBeingWrittenIsNotHandedBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var slow atomic.Bool
		c := w.client(append(quiet(), wechatws.WithDrainTimeout(100*time.Millisecond),
			wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := w.net.DialContext(ctx, network, addr)
				return slowNetConn{conn, &slow}, err
			}))...).connect()
		conn := w.conn()
		slow.Store(true)
		require.NoError(t, c.Send(t.Context(), wechatws.Text("one")))
		w.sleep(10 * time.Millisecond)
		closed := make(chan error)
		go func() { closed <- c.Close(1000, "") }()
		w.sleep(190 * time.Millisecond)
		require.Equal(t, []string{"one"}, received(conn))
		conn.Cut(wstest.RST)
		require.NoError(t, <-closed)
		<-c.Done()
	})
}

// undelivered closes the client, and returns what it hands back.
func (c *client) undelivered() []wechatws.Outbound {
	c.t.Helper()
	var left *wechatws.UndeliveredError
	require.ErrorAs(c.t, c.Close(wechatws.StatusNormalClosure, ""), &left)
	return left.Messages
}

// The data of a constant is in memory that cannot be written to.
func TestDataThatIsHandedBackMayBeWrittenTo(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const text = wechatws.Text(`{"msg_type":"message"}`)
		c := w.client(wechatws.WithQueue(1, 1000, wechatws.QueueDropOldest))
		require.NoError(t, c.Send(t.Context(), text))
		require.NoError(t, c.Send(t.Context(), text))
		w.sleep(0)
		var dropped *wechatws.DroppedError
		require.ErrorAs(t, c.errors()[0], &dropped)
		for _, m := range append(dropped.Messages, c.undelivered()...) {
			m.Data[0] = '['
			require.NoError(t, c.Connect(t.Context()))
			require.NoError(t, c.Send(t.Context(), m))
			require.Equal(t, wechatws.Text(`["msg_type":"message"}`), wechatws.Text(m.Data))
			require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		}
	})
}

func TestAMessageHandedBackKeepsItsDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		after   time.Duration // from the first Send to the connection that may write it
		options []wechatws.SendOption
		sent    bool
	}{
		"in time":    {after: 59 * time.Second, sent: true},
		"too late":   {after: 61 * time.Second},
		"overridden": {after: 61 * time.Second, options: []wechatws.SendOption{wechatws.ExpireAfter(time.Minute)}, sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client()
				require.NoError(t, c.Send(t.Context(), "news", wechatws.ExpireAfter(time.Minute)))
				w.sleep(30 * time.Second)
				left := c.undelivered()
				require.Len(t, left, 1)

				next := w.client(quiet()...)
				require.NoError(t, next.Send(t.Context(), &left[0], tt.options...))
				w.sleep(tt.after - w.since())
				next.connect()
				next.flush()
				w.sleep(time.Millisecond)
				if tt.sent {
					require.Equal(t, []string{`"news"`}, received(w.conn()))
					require.Empty(t, next.errors())
				} else {
					require.Empty(t, received(w.conn()))
					require.ErrorIs(t, next.errors()[0], wechatws.ErrExpired)
				}
				next.close()
			})
		})
	}
}

// A message that was dropped as expired is dropped again, also by Request and SendConfirmed.
func TestAnExpiredMessageIsNotSentAgain(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), "old", wechatws.ExpireAfter(time.Second)))
		w.sleep(time.Second)
		c.connect()
		w.sleep(time.Second)
		var dropped *wechatws.DroppedError
		require.ErrorAs(t, c.errors()[0], &dropped)
		require.EqualError(t, dropped, "wechatws: 1 message dropped: message has expired")

		old := dropped.Messages[0]
		require.NoError(t, c.Send(t.Context(), old))
		_, err := c.Request(t.Context(), old, isOfType("never"))
		require.ErrorIs(t, err, wechatws.ErrExpired)
		_, err = c.SendConfirmed(t.Context(), old, isOfType("never"))
		require.ErrorIs(t, err, wechatws.ErrExpired)
		require.NoError(t, c.Send(t.Context(), wechatws.Text(old.Data)))
		c.flush()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{`"old"`}, received(w.conn()), "nothing but the data was kept")
		c.close()
	})
}

func TestAMessageHandedBackIsEncodedOnWriteAgain(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		k := &ticket{id: "old"}
		c := w.client()
		require.NoError(t, c.Send(t.Context(), k, wechatws.EncodeOnWrite()))
		require.NoError(t, c.Send(t.Context(), k))
		left := c.undelivered()
		require.Equal(t, []string{`"old"`, `"old"`}, outgoing(left))

		k.set("now", nil)
		next := w.client(append(quiet(), wechatws.WithLoginMessage(left[0]))...)
		for _, m := range left {
			require.NoError(t, next.Send(t.Context(), m, wechatws.EncodeOnWrite()))
		}
		k.set("when written", nil)
		next.connect()
		next.flush()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{`"when written"`, `"when written"`, `"old"`}, received(w.conn()))

		fails := errors.New("out of tickets")
		k.set("", fails)
		require.ErrorIs(t, next.Send(t.Context(), left[0]), fails)
		next.close()
	})
}

// A lateConn takes what a Write was called with some time after Close.
type lateConn struct {
	net.Conn
	late   atomic.Bool
	delay  time.Duration
	closed chan struct{}
	once   sync.Once
}

func (c *lateConn) Write(p []byte) (int, error) {
	if !c.late.Load() {
		return c.Conn.Write(p)
	}
	<-c.closed
	time.Sleep(c.delay)
	return len(p), nil
}

func (c *lateConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A write of a user's connection that is under way when Close ends the connection may still
// succeed. What it has written is not handed back.
func TestCloseWaitsForTheWriteThatItEnds(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn := &lateConn{delay: 50 * time.Millisecond, closed: make(chan struct{})}
		c := w.client(append(quiet(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
			conn.Conn, err = w.net.DialContext(ctx, network, addr)
			return conn, err
		}))...).connect()
		conn.late.Store(true)
		c.send("a")
		began := w.since()
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		require.LessOrEqual(t, w.since()-began, 3*time.Second)
	})
}

// What Close has handed back while such a write was under way does not count as written when the write
// succeeds later.
func TestAMessageThatWasHandedBackIsNotWrittenLater(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn := &lateConn{delay: time.Hour, closed: make(chan struct{})}
		c := w.client(append(quiet(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
			conn.Conn, err = w.net.DialContext(ctx, network, addr)
			return conn, err
		}))...).connect()
		conn.late.Store(true)
		c.send("a")
		require.Len(t, c.undelivered(), 1)
		w.sleep(time.Hour)
		require.Zero(t, c.Stats().MessagesOut)
	})
}
