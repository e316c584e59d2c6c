package wechatws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// hello waits for the server's first message and answers it.
func hello(ctx context.Context, o *wechatws.Setup) error {
	for {
		m, err := o.Receive(ctx)
		if err != nil {
			return err
		}
		if m.Type == "init" {
			return o.Send(ctx, map[string]int{"hello": o.Connection})
		}
	}
}

// greet makes the server send the first message of every connection.
func greet(w *world) {
	w.srv.OnConn(func(c *wstest.Conn) {
		_ = c.Send(`{"msg_type":"before"}`)
		_ = c.Send(`{"msg_type":"init"}`)
		_ = c.Send(`{"msg_type":"after"}`)
	})
}

func TestOpeningComesBehindTheLoginAndAheadOfTheQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		greet(w)
		c := w.client(append(quiet(), wechatws.WithLoginMessage("login"))...).record()
		c.AfterConnect(time.Second, hello)
		c.send("queued")
		c.connect()
		c.flush()
		w.sleep(time.Millisecond)
		first := w.conn()
		require.Equal(t, []string{`"login"`, `{"hello":1}`, "queued"}, received(first))

		first.Cut(wstest.FIN)
		w.sleep(time.Millisecond)
		c.send("queued again")
		w.sleep(3 * time.Second)
		require.Equal(t, []string{`"login"`, `{"hello":2}`, "queued again"}, received(w.conn()))
		c.close()
	})
}

// The callbacks get the messages that were received during setup, in order.
func TestOpeningMessagesReachCallbacksAfterOnOpen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		greet(w)
		c := w.client(quiet()...).record()
		c.AfterConnect(time.Second, hello)
		c.connect()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"state connecting", "state open", "open",
			`message {"msg_type":"before"}`, `message {"msg_type":"init"}`, `message {"msg_type":"after"}`}, c.events())
		require.Equal(t, 1, c.messages[0].Connection)
		require.Equal(t, 1, c.opens[0].Connection)
		c.close()
		require.Equal(t, 1, c.lastClose().Connection)
	})
}

// A server that accepts a connection and sends nothing: the schedule goes on.
func TestOpeningThatTimesOutIsAFailedAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).record()
		c.AfterConnect(10*time.Second, hello)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(12 * time.Second)
		require.Equal(t, []string{"connecting", "waiting"}, c.states())
		var de *wechatws.DialError
		require.ErrorAs(t, c.lastChange().Err, &de)
		require.Equal(t, "setup", de.Phase)
		require.ErrorIs(t, de, context.DeadlineExceeded)
		require.EqualError(t, de, "wechatws: setup: not done within 10s: context deadline exceeded")
		require.Zero(t, w.srv.OpenConns())

		greet(w)
		w.sleep(2 * time.Second)
		require.Equal(t, []string{"connecting", "waiting", "connecting", "open"}, c.states())
		require.Equal(t, 2, c.opens[0].Connection)
		c.close()
		require.Empty(t, c.closes[1:], "the one that never opened is not closed either")
	})
}

func TestOpeningErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		open  func(ctx context.Context, o *wechatws.Setup) error
		serve func(c *wstest.Conn)
		check func(t *testing.T, err error)
	}{
		"of its own": {
			open:  func(context.Context, *wechatws.Setup) error { return broken },
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, broken) },
		},
		"panic": {
			open: func(context.Context, *wechatws.Setup) error { panic("oh") },
			check: func(t *testing.T, err error) {
				var pe *wechatws.PanicError
				require.ErrorAs(t, err, &pe)
			},
		},
		"closed by the peer": {
			open:  hello,
			serve: func(c *wstest.Conn) { _ = c.Close(4001, "not today") },
			check: func(t *testing.T, err error) {
				var ce *wechatws.CloseError
				require.ErrorAs(t, err, &ce)
				require.Equal(t, wechatws.StatusCode(4001), ce.Code)
				require.True(t, ce.Remote)
			},
		},
		"what a timed out Receive said is ignored": {
			open: func(ctx context.Context, o *wechatws.Setup) error {
				ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
				defer cancel()
				_, _ = o.Receive(ctx)
				return nil
			},
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, context.DeadlineExceeded) },
		},
		"cannot be encoded": {
			open:  func(ctx context.Context, o *wechatws.Setup) error { return o.Send(ctx, func() {}) },
			check: func(t *testing.T, err error) { require.ErrorContains(t, err, "cannot encode func()") },
		},
		"a flood": {
			open: hello,
			serve: func(c *wstest.Conn) {
				for i := 0; c.Send(`{"msg_type":"noise"}`) == nil && i < 3000; i++ {
				}
			},
			check: func(t *testing.T, err error) { require.ErrorContains(t, err, "not open after 1024 messages") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				if tt.serve != nil {
					w.srv.OnConn(tt.serve)
				}
				c := w.client(append(quiet(), wechatws.WithoutReconnect())...)
				c.AfterConnect(time.Minute, tt.open)
				err := c.Connect(t.Context())
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				require.Equal(t, "setup", de.Phase)
				tt.check(t, err)
				require.NotContains(t, c.states(), "open")
			})
		})
	}
}

func TestAPermanentErrorOfAfterConnectEndsTheClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, func(context.Context, *wechatws.Setup) error {
			return wechatws.Permanent(errors.New("banned"))
		})
		require.ErrorContains(t, c.Connect(t.Context()), "banned")
		require.Equal(t, wechatws.StateFailed, c.State())
	})
}

func TestOpeningsRunInOrderAndCanBeRemoved(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var ran []string
		note := func(name string, err error) func(context.Context, *wechatws.Setup) error {
			return func(context.Context, *wechatws.Setup) error { ran = append(ran, name); return err }
		}
		c.AfterConnect(time.Second, note("first", nil))
		remove := c.AfterConnect(time.Second, note("second", errors.New("no")))
		c.AfterConnect(time.Second, note("third", nil))
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		require.Equal(t, []string{"first", "second"}, ran)
		remove()
		w.sleep(3 * time.Second)
		require.Equal(t, []string{"first", "second", "first", "third"}, ran)
		require.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

func TestOpeningMisuse(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, nil)
		c.AfterConnect(-time.Second, hello)
		err := c.Connect(t.Context())
		require.ErrorContains(t, err, "AfterConnect(nil): the callback must be a function")
		require.ErrorContains(t, err, "AfterConnect(-1s): the timeout must be longer than zero")
	})
}

// After its function has returned, the methods of a Setup return an error.
func TestOpeningIsOverWhenItsCallbackReturns(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var kept *wechatws.Setup
		c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error { kept = o; return nil })
		c.connect()
		require.ErrorContains(t, kept.Send(t.Context(), "late"), "after its AfterConnect function has returned")
		_, err := kept.Receive(t.Context())
		require.ErrorContains(t, err, "after its AfterConnect function has returned")
		require.Empty(t, received(w.conn()))
		c.close()
	})
}

func TestCloseWhileOpening(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Hour, hello)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		c.close()
		require.Equal(t, time.Second, w.since())
		w.sleep(0)
		require.Zero(t, w.srv.OpenConns())
	})
}

func TestCloseInsideOpening(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Hour, func(context.Context, *wechatws.Setup) error {
			return c.Close(wechatws.StatusNormalClosure, "")
		})
		require.ErrorIs(t, c.Connect(t.Context()), wechatws.ErrClosed)
		require.Equal(t, wechatws.StateClosed, c.State())
	})
}

// A change of the network restarts the attempt during setup too.
func TestReconnectWhileOpening(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Hour, hello)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		greet(w)
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		require.Equal(t, []string{"connecting", "connecting", "open"}, c.states())
		require.Equal(t, 1, c.lastChange().Attempt)
		c.close()
	})
}

// The schedule restarts when a connection has been open for a while; setup does not count.
func TestOpeningTimeIsNotStability(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnConn(func(c *wstest.Conn) {
			time.Sleep(8 * time.Second)
			_ = c.Send(`{"msg_type":"init"}`)
			time.Sleep(time.Second)
			c.Cut(wstest.FIN)
		})
		c := w.client(quiet()...)
		c.AfterConnect(time.Minute, hello)
		c.connect()
		w.sleep(2 * time.Second)
		require.Equal(t, 2, c.lastChange().Attempt)
		c.close()
	})
}

func TestDropEndsOneConnectionAndTheScheduleGoesOn(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		cause := errors.New("thrown out of the room")
		require.ErrorIs(t, c.Disconnect(1, cause), wechatws.ErrNotOpen)
		c.connect()
		require.ErrorIs(t, c.Disconnect(2, cause), wechatws.ErrNotOpen)
		require.NoError(t, c.Disconnect(1, cause))
		w.sleep(0)
		require.Equal(t, wechatws.StateWaiting, c.State())
		require.Equal(t, 3*time.Second, c.lastChange().RetryIn)
		require.ErrorIs(t, c.lastClose().Err, cause)
		require.False(t, c.lastClose().Remote)
		w.sleep(3 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.ErrorIs(t, c.Disconnect(1, cause), wechatws.ErrNotOpen, "that one is gone")
		require.NoError(t, c.Disconnect(2, cause))
		require.ErrorContains(t, c.Disconnect(2, nil), "cause must be an error")
		c.close()
		require.ErrorIs(t, c.Disconnect(2, cause), wechatws.ErrNotOpen)
	})
}

// A ticket holds the id of the connection that it goes out on.
type ticket struct {
	mu   sync.Mutex
	id   string
	fail error
}

func (k *ticket) set(id string, fail error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.id, k.fail = id, fail
}

func (k *ticket) MarshalJSON() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return nil, k.fail
	}
	return json.Marshal(k.id)
}

func TestEncodeLateIsRightForTheConnectionThatItGoesOutOn(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		k := &ticket{id: "none"}
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
			k.set(fmt.Sprintf("id of connection %d", o.Connection), nil)
			return nil
		})
		require.NoError(t, c.Send(t.Context(), k))
		require.NoError(t, c.Send(t.Context(), k, wechatws.EncodeOnWrite()))
		c.connect()
		c.flush()
		w.sleep(time.Millisecond)
		first := w.conn()
		require.Equal(t, []string{`"none"`, `"id of connection 1"`}, received(first))
		require.Zero(t, c.Stats().QueuedBytes, "although it is longer now than when it was accepted")
		c.close()
	})
}

func TestEncodeLateFailureSendsWhatThereWas(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		k := &ticket{id: "before"}
		out := errors.New("out of tickets")
		c := w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), k, wechatws.EncodeOnWrite()))
		k.set("", out)
		c.connect()
		c.flush()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{`"before"`}, received(w.conn()))
		require.ErrorIs(t, c.errors()[0], out)
		c.close()
	})
}

// holding makes a client that holds its queue for a second on each connection.
func holding(w *world, options ...wechatws.Option) *client {
	c := w.client(options...).record()
	c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
		o.HoldQueue(time.Millisecond)
		o.HoldQueue(time.Second)
		o.HoldQueue(time.Microsecond)
		return nil
	})
	return c
}

// What was queued before and what any call sends meanwhile waits, and goes
// out in order. What comes in, and the heartbeat, does not wait.
func TestHoldQueueKeepsMessagesBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w, wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 300 * time.Millisecond}))
		c.send("1")
		c.connect()
		conn := w.conn()
		require.Equal(t, time.Duration(0), w.since(), "it is open at once")
		c.send("2")
		done := make(chan time.Duration, 2)
		go func() {
			_ = c.Send(t.Context(), wechatws.Text("3"), wechatws.FailFast())
			done <- w.since()
		}()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(999 * time.Millisecond)
		require.Equal(t, []string{`{"msg_type":"x"}`}, c.texts())
		const beat = `{"msg_type":"ping"}`
		require.Equal(t, []string{beat, beat, beat}, received(conn))
		require.Empty(t, done)
		require.Equal(t, 3, c.Stats().Queued)
		w.sleep(time.Millisecond)
		require.Equal(t, []string{beat, beat, beat, "1", "2", "3"}, received(conn))
		require.Equal(t, time.Second, <-done)
		c.send("4")
		w.sleep(0)
		require.Equal(t, "4", received(conn)[6], "and that is all that waits")
		c.close()
	})
}

// A connection that ends meanwhile was given nothing, and the next one holds anew.
func TestHoldQueueAndAConnectionThatEnds(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w).connect()
		c.send("1")
		conn := w.conn()
		w.sleep(500 * time.Millisecond)
		conn.Cut(wstest.FIN)
		w.sleep(3*time.Second + 999*time.Millisecond)
		require.Empty(t, received(conn))
		conn = w.conn()
		require.Empty(t, received(conn))
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"1"}, received(conn))
		c.close()
	})
}

// Close writes what is held, if the drain timeout allows, and hands it back otherwise.
func TestCloseOfAHeldQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w, wechatws.WithDrainTimeout(2*time.Second)).connect()
		c.send("1")
		c.close()
		require.Equal(t, []string{"1"}, received(w.conn()))

		c = holding(w, wechatws.WithDrainTimeout(500*time.Millisecond)).connect()
		c.send("2")
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
		require.Len(t, left.Messages, 1)
		require.Empty(t, received(w.conn()))
	})
}
