package wechatws_test

import (
	"context"
	"errors"
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
		assert.Len(t, c.errors(), 2, "OnError is told of failed attempts")
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

func TestEveryMethodInsideEveryCallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
		c := w.client(quiet()...)
		calls := 0
		everything := func(ctx context.Context) {
			calls++
			_ = c.State()
			_ = c.Stats()
			_ = c.Send(ctx, wechatws.Text(`{"msg_type":"a"}`))
			_ = c.Send(ctx, wechatws.Binary([]byte("b")))
			remove := wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) {})
			remove()
			assert.ErrorIs(t, c.Connect(ctx), wechatws.ErrAlreadyConnected)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = c.Flush(short)
			_, _ = c.Request(short, "q", func(wechatws.Message) bool { return true })
		}
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { everything(ctx) })
		c.OnClose(func(ctx context.Context, e wechatws.CloseEvent) {
			if e.Err != nil { // otherwise Connect would start afresh
				everything(ctx)
			}
		})
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
			if calls < 20 {
				everything(ctx)
			}
		})
		c.connect()
		w.sleep(time.Minute)
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Minute)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.GreaterOrEqual(t, calls, 20)
		_ = c.Close(1000, "")
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
