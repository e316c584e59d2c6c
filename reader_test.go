package wechatws_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func isOfType(name string) func(wechatws.Message) bool {
	return func(m wechatws.Message) bool { return m.Type == name }
}

// The server has one goroutine, as most have: it reads only when it has written. A Request
// that waits for room in the queue, or for its message to be written, must not keep the
// client from reading.
func TestRequestBehindAFullQueueDoesNotStopTheReader(t *testing.T) {
	for name, queue := range map[string]wechatws.Option{
		"it waits for room": wechatws.WithQueue(16, 1<<20, wechatws.QueueWait),
		"there is no queue": wechatws.WithQueue(0, 0, wechatws.QueueFail),
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.net.SetLatency(5 * time.Millisecond)
				chat := `{"msg_type":"chat","pad":"` + strings.Repeat("x", 2000) + `"}`
				w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) {
					for range 5 {
						_ = conn.Send(chat)
					}
				})
				c := w.client(queue)
				c.connect()
				conn := w.conn()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				say := map[string]string{"msg_type": "say", "pad": strings.Repeat("y", 4000)}
				for range 8 {
					go func() {
						for c.Send(ctx, say) == nil {
						}
					}()
				}
				w.sleep(50 * time.Millisecond)
				for range 4 {
					go func() { // in vain: the server answers no request
						_, _ = c.Request(ctx, say, isOfType("never"))
					}()
				}
				time.Sleep(time.Second)
				before := len(conn.Received())
				time.Sleep(5 * time.Second)
				require.Greater(t, len(conn.Received()), before+100, "the server reads on")
				require.Equal(t, 1, c.Stats().Opens)
				cancel()
				_ = c.CloseNow()
			})
		})
	}
}

// A Request whose message is dropped does not wait for an answer.
func TestRequestEndsWhenItsMessageIsDropped(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(2, 1<<20, wechatws.QueueDropOldest))...)
		result := make(chan error, 1)
		go func() {
			_, err := c.Request(t.Context(), 1, isOfType("never"))
			result <- err
		}()
		w.sleep(0)
		c.send("2", "3")
		require.ErrorIs(t, <-result, wechatws.ErrQueueFull)
		require.Error(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}

// In a callback, Request and SendConfirmed wait for room in the queue, for the turn and for
// the answer. A full inbox ends each of these waits, since the reader is about to
// wait for the callback.
func TestAFullInboxEndsEveryWaitInsideACallback(t *testing.T) {
	for name, wait := range map[string]struct {
		before, inside func(ctx context.Context, c *client) error
	}{
		"SendConfirmed, for its turn": {
			before: func(ctx context.Context, c *client) error {
				_, err := c.SendConfirmed(ctx, "outer", isOfType("outer"))
				return err
			},
			inside: func(ctx context.Context, c *client) error {
				_, err := c.SendConfirmed(ctx, "inner", isOfType("inner"))
				return err
			},
		},
		"Request, for room in the queue": {
			before: func(_ context.Context, c *client) error {
				c.send(strings.Repeat("x", 900<<10), strings.Repeat("x", 900<<10))
				return nil
			},
			inside: func(ctx context.Context, c *client) error {
				_, err := c.Request(ctx, strings.Repeat("x", 900<<10), isOfType("inner"))
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), wechatws.WithQueue(16, 2<<20, wechatws.QueueWait))...)
				inside, outside := make(chan error, 1), make(chan error, 1)
				wechatws.On(c.Client, "now", func(ctx context.Context, _ struct{}) { inside <- wait.inside(ctx, c) })
				handled := 0
				wechatws.On(c.Client, "chat", func(context.Context, struct{}) { handled++ })
				c.connect()
				conn := w.conn()
				conn.StopReading()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				go func() { outside <- wait.before(ctx, c) }()
				w.sleep(time.Second)
				require.NoError(t, conn.Send(`{"msg_type":"now"}`))
				go func() {
					for range 2000 {
						_ = conn.Send(`{"msg_type":"chat"}`)
					}
					_ = conn.Send(`{"msg_type":"outer"}`)
				}()
				w.sleep(time.Minute)
				select {
				case err := <-inside:
					require.ErrorIs(t, err, wechatws.ErrInboxFull)
				default:
					t.Errorf("a minute later the callback still waits, with %d messages behind it", c.Stats().Inbox)
				}
				require.Len(t, outside, 1, "what waits elsewhere gets its answer")
				require.Equal(t, 2000, handled)
				_ = c.CloseNow()
			})
		})
	}
}

// When the inbox was full, the reader goes on when half of it is free. Until then the inbox
// counts as full for a callback.
func TestTheInboxIsFullForAsLongAsTheReaderWaits(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *client) error{
		"Request": func(ctx context.Context, c *client) error {
			_, err := c.Request(ctx, "question", isOfType("answer"))
			return err
		},
		"SendConfirmed": func(ctx context.Context, c *client) error {
			_, err := c.SendConfirmed(ctx, "question", isOfType("answer"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) { _ = conn.Send(`{"msg_type":"answer"}`) })
				begin, asked := make(chan struct{}), make(chan error, 1)
				n := 0
				wechatws.On(c.Client, "chat", func(ctx context.Context, _ struct{}) {
					switch n++; n {
					case 1:
						<-begin
					case 400: // more than half of the inbox is still there
						asked <- ask(ctx, c)
					}
				})
				c.connect()
				conn := w.conn()
				go func() {
					for range 2000 {
						_ = conn.Send(`{"msg_type":"chat"}`)
					}
				}()
				w.sleep(time.Second)
				close(begin)
				w.sleep(time.Minute)
				select {
				case err := <-asked:
					require.ErrorIs(t, err, wechatws.ErrInboxFull)
				default:
					t.Errorf("a minute later the callback still waits, with %d messages in the inbox", c.Stats().Inbox)
				}
				require.NoError(t, c.CloseNow())
			})
		})
	}
}
