package wechatws_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestRequest(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
			_ = c.Send(`{"msg_type":"noise"}`)
			_ = c.Send(`{"msg_type":"reply","to":` + m.Text() + `}`)
		})
		c := w.client(quiet()...).record()
		reply := func(to string) func(wechatws.Message) bool {
			return func(m wechatws.Message) bool {
				return m.Type == "reply" && strings.Contains(string(m.Data), to)
			}
		}
		inside := ""
		wechatws.On(c.Client, "go", func(ctx context.Context, _ wechatws.Message) {
			m, err := c.Request(ctx, "inside", reply("inside"))
			assert.NoError(t, err)
			inside = string(m.Data)
		})
		c.connect()
		m, err := c.Request(t.Context(), "outside", reply("outside"))
		require.NoError(t, err)
		assert.Equal(t, `{"msg_type":"reply","to":"outside"}`, string(m.Data))
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"go"}`))
		w.sleep(time.Second)
		assert.Equal(t, `{"msg_type":"reply","to":"inside"}`, inside, "also in a callback, which keeps the dispatcher busy")
		assert.Contains(t, c.texts(), inside, "callbacks get the answer too")

		_, err = c.Request(t.Context(), "x", nil)
		assert.EqualError(t, err, "wechatws: Request(nil): match must be a function")
		_, err = c.Request(t.Context(), func() {}, reply(""))
		assert.ErrorContains(t, err, "wechatws: cannot encode func()")
		c.close()
		_, err = c.Request(t.Context(), "x", reply(""))
		assert.ErrorIs(t, err, wechatws.ErrClosed)
	})
}

func TestRequestThatIsNotAnswered(t *testing.T) {
	never := func(wechatws.Message) bool { return false }
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Request(ctx, "x", never)
		assert.ErrorIs(t, err, context.DeadlineExceeded)

		result := make(chan error, 1)
		go func() { _, err := c.Request(t.Context(), "x", never); result <- err }()
		w.sleep(time.Second)
		w.conn().Cut(wstest.FIN)
		err = <-result
		assert.ErrorIs(t, err, wechatws.ErrConnectionLost)
		assert.EqualError(t, err, "wechatws: connection lost before the answer came: wechatws: peer closed the connection: close code 1006 (abnormal closure): EOF")

		// Without a connection a request waits in the queue, and is removed when its context
		// ends.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Request(ctx, "given up", never)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		go func() { _, err := c.Request(t.Context(), "patient", never); result <- err }()
		w.sleep(10 * time.Second)
		assert.Equal(t, []string{`"patient"`}, received(w.conn()))
		c.close()
		assert.ErrorIs(t, <-result, wechatws.ErrClosed)
	})
}

// A slow match function delays the reader, and does not count as silence of the peer.
func TestASlowMatch(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		conn := w.conn()
		n := 0
		result := make(chan error, 1)
		go func() {
			_, err := c.Request(t.Context(), "x", func(m wechatws.Message) bool {
				n++
				time.Sleep(time.Second)
				return m.Type == "reply"
			})
			result <- err
		}()
		w.sleep(0)
		for range 200 {
			require.NoError(t, conn.Send(`{"msg_type":"flood"}`))
		}
		require.NoError(t, conn.Send(`{"msg_type":"reply"}`))
		require.NoError(t, <-result)
		assert.Equal(t, 201, n)
		assert.Equal(t, 1, c.Stats().Opens)
		assert.Equal(t, 201*time.Second, w.since())
		c.close()
	})
}

// The inbox is full before the request.
func TestRequestInACallbackWhenTheInboxIsFullAlready(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		other := w.client(quiet()...)
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(`{"msg_type":"reply"}`) })
		isReply := func(m wechatws.Message) bool { return m.Type == "reply" }
		var err, otherErr error
		first := true
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
			if first {
				first = false
				time.Sleep(time.Second)
				_, err = c.Request(ctx, "x", isReply)
				_, otherErr = other.Request(context.Background(), "x", isReply)
			}
		})
		c.connect()
		conn := w.conn()
		other.connect()
		for range 3000 {
			require.NoError(t, conn.Send(`{"msg_type":"flood"}`))
		}
		w.sleep(time.Minute)
		assert.ErrorIs(t, err, wechatws.ErrInboxFull)
		assert.NoError(t, otherErr, "another client has an inbox of its own")
		c.close()
		other.close()
	})
}

// An answer behind more messages than the inbox holds cannot be read before the callback
// returns: the request fails instead of blocking for ever.
func TestRequestInACallbackBehindAFullInbox(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var err error
		first := true
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
			if first {
				first = false
				_, err = c.Request(ctx, "x", func(m wechatws.Message) bool { return m.Type == "reply" })
			}
		})
		c.connect()
		conn := w.conn()
		for range 3000 {
			require.NoError(t, conn.Send(`{"msg_type":"flood"}`))
		}
		require.NoError(t, conn.Send(`{"msg_type":"reply"}`))
		w.sleep(time.Second)
		assert.ErrorIs(t, err, wechatws.ErrInboxFull)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}
