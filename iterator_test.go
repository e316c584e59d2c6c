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
				began := time.Now()
				assert.NoError(c.t, c.Shutdown(c.t.Context()))
				assert.Zero(c.t, time.Since(began), "it does not wait for the loop")
			},
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
					assert.Equal(t, 2, n, "as is what was about to be")
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
