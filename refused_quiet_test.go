package wechatws_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Where callbacks are slower than the server, the inbox is full again and again. A suspect waits for
// it, but not for ever, and heartbeats do not wait.
func TestASuspectDoesNotWaitForSlowCallbacksForEver(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithoutLiveness(), wechatws.WithTypeField("t"))
		c.OnMessage(func(context.Context, wechatws.Message) { time.Sleep(100 * time.Millisecond) })
		c.send(strings.Repeat("x", 1<<20), "1", "2", "3")
		refused := w.refuseHalf(1)
		c.connect()
		refused()
		conn := w.conn()
		go func() {
			for conn.Send(`{"t":"x"}`) == nil {
			}
		}()
		w.sleep(30 * time.Second)
		assert.Greater(t, c.Stats().MaxInbox, 512)
		assert.NotEmpty(t, received(conn), "heartbeats")
		w.sleep(3 * time.Minute)
		var messages []string
		for _, text := range received(conn) {
			if text != `{"t":"ping"}` {
				messages = append(messages, text[:1])
			}
		}
		assert.Equal(t, []string{"x", "1", "2", "3"}, messages)
		assert.GreaterOrEqual(t, len(received(conn)), 4+65, "one each 3 s")
		_ = c.CloseNow()
		<-c.Done()
	})
}

// The refusal of a confirmed message may take longer than its [ConfirmTimeout]: what is sent again is
// the same message.
func TestAConfirmedMessageIsDroppedAlsoWhenItWasSentAgain(t *testing.T) {
	for _, late := range []time.Duration{10 * time.Millisecond, 900 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 12 * time.Second} {
		for _, timeout := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second} {
			t.Run(fmt.Sprint(late, "/", timeout), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
						if m.Text() == "7" {
							time.AfterFunc(late, func() { _ = conn.Close(int(wechatws.StatusMessageTooBig), "") })
							return
						}
						_ = conn.Send(fmt.Sprintf(`{"msg_type":"echo","echo":%s}`, m.Data))
					})
					c := w.client(quiet()...).connect()
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
					defer cancel()
					seven := c.confirm(ctx, 7, wechatws.ConfirmTimeout(timeout))
					w.sleep(time.Millisecond)
					eight := c.confirm(ctx, 8)
					assert.ErrorIs(t, <-seven, wechatws.ErrMessageTooBig)
					assert.NoError(t, <-eight)
					assert.Len(t, w.srv.Conns(), 3)
					_ = c.CloseNow()
				})
			})
		}
	}
}

// A suspect that is never confirmed, and sent again and again, delays no other message for longer than
// one quiet time.
func TestAnUnconfirmedSuspectDelaysNothing(t *testing.T) {
	for _, timeout := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second} {
		virtual(t, func(t *testing.T, w *world) {
			w.srv.OnConn(func(conn *wstest.Conn) {
				if conn.ID() == 1 {
					time.AfterFunc(2*time.Second, func() { _ = conn.Close(int(wechatws.StatusMessageTooBig), "") })
				}
			})
			c := w.client(quiet()...).connect()
			seven := c.confirm(t.Context(), 7, wechatws.ConfirmTimeout(timeout))
			w.sleep(10 * time.Second)
			before := w.since()
			for i := range 100 {
				c.send(fmt.Sprint("small", i))
				c.flush()
			}
			assert.LessOrEqual(t, w.since()-before, max(timeout, time.Second))
			assert.Empty(t, seven)
			_ = c.CloseNow()
		})
	}
}
