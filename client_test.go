package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestConnectReturnsAtTheFirstOpen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.Status(502, nil, "bad gateway"), wstest.CutHandshake(wstest.RST))
		c := w.client(wechatws.WithLoginMessage(map[string]string{"key": "value"}))
		require.NoError(t, c.Connect(t.Context()))
		assert.Equal(t, 6*time.Second, w.since(), "two failures, 3 s each")
		assert.Equal(t, wechatws.StateOpen, c.State())
		w.sleep(0)
		assert.Equal(t, []string{`{"key":"value"}`}, received(w.conn()), "login is written")
		assert.Len(t, c.errors(), 2, "OnError is called for failed attempts")
		c.close()
		assert.Equal(t, []string{"connecting", "waiting", "connecting", "waiting", "connecting", "open", "closed"}, c.states())
	})
}

func TestConnectReturnsAPermanentError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Status(404, nil, "no such room\nmore"))
		c := w.client()
		err := c.Connect(t.Context())
		var he *wechatws.HandshakeError
		require.ErrorAs(t, err, &he)
		assert.Equal(t, 404, he.Status)
		assert.EqualError(t, err, `wechatws: handshake server.test:80: server answered 404 Not Found`)
		assert.Equal(t, wechatws.StateFailed, c.State())
		assert.Equal(t, err, c.lastChange().Err)

		err = c.Send(t.Context(), wechatws.Text("x"))
		assert.ErrorIs(t, err, wechatws.ErrClosed)
		assert.ErrorAs(t, err, &he, "and why")
		assert.ErrorIs(t, c.Reconnect(), wechatws.ErrClosed)

		w.srv.AnswerAlways(wstest.Accept())
		c.connect() // it works again after a failure
		c.close()
	})
}

func TestConnectEndsWithItsContext(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client()
		c.send("never sent")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := c.Connect(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, err, &left, "what was accepted is handed back")
		assert.Equal(t, "never sent", string(left.Messages[0].Data))
		assert.Equal(t, wechatws.StateClosed, c.State())
		assert.Equal(t, 10*time.Second, w.since())
	})
}

func TestContextOfConnectIsNotUsedAfterwards(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		c := w.client()
		require.NoError(t, c.Connect(ctx))
		cancel()
		w.sleep(time.Minute)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

func TestConnectTwice(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.NoAnswer())
		c := w.client()
		first := make(chan error, 1)
		go func() { first <- c.Connect(t.Context()) }()
		w.sleep(time.Second)
		assert.ErrorIs(t, c.Connect(t.Context()), wechatws.ErrAlreadyConnected, "while connecting")
		assert.ErrorIs(t, c.Run(t.Context()), wechatws.ErrAlreadyConnected)
		require.NoError(t, <-first)
		assert.ErrorIs(t, c.Connect(t.Context()), wechatws.ErrAlreadyConnected, "while open")
		assert.Equal(t, 1, w.net.MaxClients())
		c.close()
	})
}

func TestRun(t *testing.T) {
	t.Run("returns nil after Close", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client()
			over := make(chan error, 1)
			go func() { over <- c.Run(t.Context()) }()
			w.conn().Cut(wstest.FIN)
			w.conn() // it stays connected
			c.close()
			assert.NoError(t, <-over)
		})
	})
	t.Run("returns the cause of a failure", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(wechatws.WithoutReconnect())
			over := make(chan error, 1)
			go func() { over <- c.Run(t.Context()) }()
			require.NoError(t, w.conn().Close(4001, "kicked"))
			err := <-over
			var ce *wechatws.CloseError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, wechatws.StatusCode(4001), ce.Code)
			assert.EqualError(t, err, `wechatws: peer closed the connection: close code 4001`)
		})
	})
	t.Run("closes when its context ends", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client()
			ctx, cancel := context.WithCancelCause(t.Context())
			over := make(chan error, 1)
			go func() { over <- c.Run(ctx) }()
			conn := w.conn()
			w.sleep(time.Second)
			c.send("the last word")
			cancel(errors.New("SIGTERM"))
			assert.NoError(t, <-over, "that is how it ends")
			w.sleep(0)
			code, _ := conn.CloseCode()
			assert.Equal(t, 1001, code)
			assert.Contains(t, received(conn), "the last word", "the queue is drained")
			assert.Equal(t, wechatws.StateClosed, c.State())
			assert.EqualError(t, c.lastChange().Err, "SIGTERM")
		})
	})
}

// The login message is always the same, also if the program changes the value afterwards.
func TestTheLoginMessageIsEncodedOnce(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		value := map[string]string{"key": "value"}
		c := w.client(wechatws.WithLoginMessage(value), wechatws.WithoutHeartbeat())
		value["key"] = "changed"
		c.connect()
		first := w.conn()
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		for _, conn := range []*wstest.Conn{first, w.conn()} {
			require.Equal(t, []string{`{"key":"value"}`}, received(conn))
		}
		c.close()
	})
}

// A context that has ended already is the end of a Run, as one that ends a moment later.
func TestConnectAndRunWithAnEndedContext(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := w.client(quiet()...)
		require.NoError(t, c.Run(ctx))
		require.Equal(t, wechatws.StateClosed, c.State())
		<-c.Done()

		c = w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), 1))
		err := c.Run(ctx)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, err, &left)

		c = w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), 1))
		err = c.Connect(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorAs(t, err, &left)
		require.Equal(t, wechatws.StateClosed, c.State())
	})
}

func TestReconnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		assert.ErrorIs(t, c.Reconnect(), wechatws.ErrNotOpen)
		c.connect()

		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "the connection has ended, and the next one is open at once")
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrReconnect)

		w.srv.Stop(wstest.FIN)
		w.sleep(time.Hour) // into the 450 s tier
		require.Equal(t, wechatws.StateWaiting, c.State())
		require.Equal(t, 450*time.Second, c.lastChange().RetryIn)
		w.srv.Start()
		before := w.since()
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "the wait is cut short")
		assert.Equal(t, before, w.since())

		w.srv.Answer(wstest.NoAnswer())
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		require.Equal(t, wechatws.StateConnecting, c.State())
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "an attempt that hangs is replaced")
		assert.Equal(t, 1, w.net.MaxClients(), "there are never two connections")
		c.close()
		assert.ErrorIs(t, c.Reconnect(), wechatws.ErrClosed)
	})
}

func TestStateChangesHaveAttemptDelayAndCause(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.Status(503, nil, "deploying"))
		c := w.client(quiet()...).connect()
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Second)
		c.mu.Lock()
		var got []string
		for _, e := range c.changes {
			got = append(got, fmt.Sprintf("%v→%v attempt %d in %v: %v", e.From, e.To, e.Attempt, e.RetryIn, e.Err))
		}
		c.mu.Unlock()
		assert.Equal(t, []string{
			"idle→connecting attempt 1 in 0s: <nil>",
			`connecting→waiting attempt 2 in 3s: wechatws: handshake server.test:80: server answered 503 Service Unavailable`,
			"waiting→connecting attempt 2 in 0s: <nil>",
			"connecting→open attempt 2 in 0s: <nil>",
			"open→waiting attempt 3 in 3s: wechatws: peer closed the connection: close code 1006 (abnormal closure): EOF",
		}, got)
		c.close()
	})
}

func TestTheCounterResetsOnlyAfterAStableConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 2}, wechatws.Tier{Delay: time.Minute}))...)
		c.connect()
		for _, want := range []time.Duration{time.Second, time.Second, time.Minute, time.Minute} {
			w.sleep(4 * time.Second) // not stable
			w.conn().Cut(wstest.FIN)
			w.sleep(0)
			assert.Equal(t, want, c.lastChange().RetryIn)
			w.sleep(want)
		}
		w.sleep(6 * time.Second) // stable
		w.conn().Cut(wstest.FIN)
		w.sleep(0)
		assert.Equal(t, time.Second, c.lastChange().RetryIn)
		assert.Equal(t, 1, c.lastChange().Attempt)
		c.close()
	})
}

func TestCloseByThePeerIsRetriedWhateverTheCode(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		for _, code := range []int{1000, 1001, 1008, 1011, 1012, 4000} {
			require.NoError(t, w.conn().Close(code, "restart"))
			w.sleep(0)
			e := c.lastClose()
			assert.Equal(t, wechatws.StatusCode(code), e.Code)
			assert.Equal(t, "restart", e.Reason)
			assert.True(t, e.Remote)
			w.sleep(3 * time.Second)
			assert.Equal(t, wechatws.StateOpen, c.State(), code)
		}
		c.close()
	})
}

func TestPolicyCloseIsPermanentTheThirdTime(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithPermanentAfter(0))...)
		over := make(chan error, 1)
		go func() { over <- c.Run(t.Context()) }()
		for range 3 {
			require.NoError(t, w.conn().Close(1008, "banned"))
		}
		err := <-over
		var ce *wechatws.CloseError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, wechatws.StatusPolicyViolation, ce.Code)
		assert.Len(t, w.srv.Conns(), 3)
	})
}

func TestBackOffStopEndsInFailedWithTheLastError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client(wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 2}))
		c.send("kept")
		err := c.Connect(t.Context())
		var de *wechatws.DialError
		require.ErrorAs(t, err, &de)
		assert.Equal(t, "connect", de.Phase)
		assert.EqualError(t, err, "wechatws: connect server.test:80: connection refused")
		assert.Len(t, w.net.Dials(), 3)

		w.srv.Start()
		c.connect()
		w.sleep(0)
		assert.Equal(t, []string{"kept"}, received(w.conn()), "a failure leaves the queue to the next Connect")
		c.close()
	})
}
