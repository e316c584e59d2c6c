package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestMessagesDoesNothingBeforeTheLoopBegins(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).record()
		messages := c.Messages(t.Context())
		c.connect()
		conn := w.conn()
		for n := range 5 {
			require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"n%d"}`, n)))
		}
		w.sleep(time.Hour)
		assert.Len(t, c.texts(), 5, "no callback waits for it")
		assert.Zero(t, c.Stats().Inbox)

		for range 2 { // it may be ranged over again
			go func() {
				w.sleep(time.Second)
				_ = conn.Send(`{"msg_type":"a"}`)
				_ = conn.Send(`{"msg_type":"b"}`)
				_ = conn.Send(`{"msg_type":"c"}`)
			}()
			var got []string
			for m, err := range messages {
				require.NoError(t, err)
				if got = append(got, m.Type); len(got) == 3 {
					break
				}
			}
			assert.Equal(t, []string{"a", "b", "c"}, got)
		}
		require.NoError(t, conn.Send(`{"msg_type":"late"}`))
		w.sleep(0)
		assert.Zero(t, c.Stats().Inbox, "a loop that has ended delays nothing")
		c.close()
	})
}

func TestMessagesInTwoLoopsAtATime(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		messages := c.Messages(t.Context())
		var got [2][]string
		var ends [2]error
		for i := range got {
			go func() {
				for m, err := range messages {
					if ends[i] = err; err == nil {
						got[i] = append(got[i], m.Type)
					}
				}
			}()
		}
		synctest.Wait()
		c.connect()
		conn := w.conn()
		for n := range 3 {
			require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"n%d"}`, n)))
		}
		w.sleep(time.Second)
		c.close()
		w.sleep(0)
		for i := range got {
			assert.Equal(t, []string{"n0", "n1", "n2"}, got[i])
			assert.Equal(t, wechatws.ErrClosed, ends[i])
		}
	})
}

func TestMessagesEnd(t *testing.T) {
	cause := errors.New("enough")
	for name, tt := range map[string]struct {
		end  func(c *client, cancel func(), conn *wstest.Conn)
		want error
		all  bool // what had arrived is handed out
	}{
		"context": {
			end:  func(_ *client, cancel func(), _ *wstest.Conn) { cancel() },
			want: cause,
		},
		"close inside": {
			end:  func(c *client, _ func(), _ *wstest.Conn) { _ = c.Close(1000, "") },
			want: wechatws.ErrClosed,
		},
		"close elsewhere": {
			end:  func(c *client, _ func(), _ *wstest.Conn) { go func() { _ = c.Close(1000, "") }() },
			want: wechatws.ErrClosed,
		},
		"shutdown inside": {
			end: func(c *client, _ func(), _ *wstest.Conn) {
				ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				assert.ErrorIs(c.t, c.Shutdown(ctx), context.DeadlineExceeded)
				assert.Equal(c.t, 10*time.Second, time.Since(began), "it waits for the loop")
			},
			want: wechatws.ErrClosed,
		},
		"shutdown elsewhere": {
			end:  func(c *client, _ func(), _ *wstest.Conn) { go func() { _ = c.Shutdown(c.t.Context()) }() },
			want: wechatws.ErrClosed, all: true,
		},
		"failure": {
			end:  func(_ *client, _ func(), conn *wstest.Conn) { conn.Cut(wstest.RST) },
			want: wechatws.ErrClosed, all: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), wechatws.WithoutReconnect())...)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				var (
					conn *wstest.Conn
					n    int
					errs []error
				)
				go func() {
					synctest.Wait()
					c.connect()
					conn = w.conn()
					for range 5 {
						assert.NoError(t, conn.Send(`{"msg_type":"x"}`))
					}
				}()
				for _, err := range c.Messages(ctx) {
					if err != nil {
						errs = append(errs, err)
						continue
					}
					if n++; n == 1 {
						w.sleep(0)
						tt.end(c, func() { cancel(cause) }, conn)
					}
					time.Sleep(time.Second)
				}
				require.Len(t, errs, 1, "the last pair says why")
				assert.ErrorIs(t, errs[0], tt.want)
				if name == "failure" {
					assert.ErrorIs(t, errs[0], c.lastChange().Err)
				}
				if tt.all {
					assert.Equal(t, 5, n, "what had arrived is handed out")
				} else {
					assert.Equal(t, 1, n)
				}
				c.close()
			})
		})
	}
}

func TestMessagesOfAClientThatHasEnded(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Status(404, nil, ""))
		c := w.client()
		go func() { _ = c.Run(t.Context()) }()
		for range 2 { // while it fails, and after that
			var refused *wechatws.DialError
			for _, err := range c.Messages(t.Context()) {
				assert.ErrorIs(t, err, wechatws.ErrClosed)
				assert.ErrorAs(t, err, &refused)
			}
			assert.NotNil(t, refused)
			assert.Equal(t, wechatws.StateFailed, c.State())
		}
		c.close()
		for _, err := range c.Messages(t.Context()) {
			assert.Equal(t, wechatws.ErrClosed, err)
		}
	})
}

// Callbacks wait for the body as for a callback, and so does Shutdown: what had arrived is
// handled and answered.
func TestMessagesBodyIsLikeACallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var order []string
		loop := make(chan error)
		go func() {
			for m, err := range c.Messages(t.Context()) {
				if err != nil {
					loop <- err
					return
				}
				time.Sleep(time.Second)
				order = append(order, "body "+m.Type)
				assert.NoError(t, c.Send(t.Context(), wechatws.Text("answer")))
			}
		}()
		synctest.Wait()
		wechatws.On(c.Client, "x", func(context.Context, struct{}) { order = append(order, "callback x") })
		c.OnClose(func(context.Context, wechatws.CloseEvent) { order = append(order, "close") })
		c.connect()
		conn := w.conn()
		for range 2 {
			require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		}
		w.sleep(500 * time.Millisecond)
		start := time.Now()
		require.NoError(t, c.Shutdown(t.Context()))
		require.ErrorIs(t, <-loop, wechatws.ErrClosed)
		require.Equal(t, 1500*time.Millisecond, time.Since(start))
		require.Equal(t, []string{"body x", "callback x", "body x", "callback x", "close"}, order)
		require.Equal(t, []string{"answer", "answer"}, received(conn))
	})
}
