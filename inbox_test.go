package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
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

// busy opens a connection, makes it busy, so that its reader runs the callbacks, and has
// now called by one.
func busy(t *testing.T, w *world, c *client, now func(ctx context.Context)) *wstest.Conn {
	t.Helper()
	wechatws.On(c.Client, "now", func(ctx context.Context, _ struct{}) { now(ctx) })
	c.connect()
	conn := w.conn()
	for range 3 {
		require.NoError(t, conn.Send(`{"msg_type":"before"}`))
		w.sleep(time.Millisecond)
	}
	require.NoError(t, conn.Send(`{"msg_type":"now"}`))
	return conn
}

// A callback that blocks does not stop the reader: the client notices the end of the
// connection, and connects again, after the longest wait for its callbacks.
func TestABlockingCallbackDoesNotStopTheReader(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).record()
		release := make(chan struct{})
		conn := busy(t, w, c, func(context.Context) { <-release })
		w.sleep(time.Millisecond)
		conn.Cut(wstest.FIN)
		w.sleep(20 * time.Millisecond)
		require.Equal(t, wechatws.StateWaiting, c.State(), "the end was seen")
		w.sleep(10 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.NoError(t, w.conn().Send(`{"msg_type":"after"}`))
		w.sleep(time.Second)
		require.Len(t, c.texts(), 4, "callbacks are run one at a time")
		close(release)
		w.sleep(0)
		require.Equal(t, `{"msg_type":"after"}`, c.texts()[4])
		c.close()
	})
}

// A callback on the reader goroutine can wait for an incoming message.
func TestWaitingInACallbackOfABusyConnection(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context, c *client) error{
		"Request": func(ctx context.Context, c *client) error {
			_, err := c.Request(ctx, "x", func(m wechatws.Message) bool { return m.Type == "reply" })
			return err
		},
		"SendConfirmed": func(ctx context.Context, c *client) error {
			_, err := c.SendConfirmed(ctx, "x", func(m wechatws.Message) bool { return m.Type == "reply" })
			return err
		},
		"Flush": func(ctx context.Context, c *client) error {
			return errors.Join(c.Send(ctx, strings.Repeat("x", 100_000)), c.Flush(ctx))
		},
		"Close": func(_ context.Context, c *client) error { return c.Close(wechatws.StatusNormalClosure, "") },
		"Close and Connect": func(ctx context.Context, c *client) error {
			return errors.Join(c.Close(wechatws.StatusNormalClosure, ""), c.Connect(context.WithoutCancel(ctx)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) { _ = conn.Send(`{"msg_type":"reply"}`) })
				c := w.client(quiet()...)
				err := errors.New("it has not returned")
				var took time.Duration
				busy(t, w, c, func(ctx context.Context) {
					start := time.Now()
					err = wait(ctx, c)
					took = time.Since(start)
				})
				w.sleep(5 * time.Second)
				require.NoError(t, err)
				require.Less(t, took, 10*time.Millisecond, "it handed off at once")
				_ = c.Close(wechatws.StatusNormalClosure, "")
			})
		})
	}
}

// runtime.Goexit, as by t.FailNow, in a callback on the reader goroutine ends no more than
// that goroutine.
func TestGoexitInACallbackOfABusyConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).record()
		conn := busy(t, w, c, func(context.Context) { runtime.Goexit() })
		require.NoError(t, conn.Send(`{"msg_type":"after"}`))
		w.sleep(time.Second)
		require.Equal(t, `{"msg_type":"after"}`, c.texts()[4])
		conn.Cut(wstest.FIN)
		w.sleep(4 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Equal(t, 2, c.Stats().Opens)
		c.close()
	})
}

// All messages are handled once and in order across many hand-offs.
func TestOrderAcrossHandOffs(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var got, want []string
		c.OnMessage(func(_ context.Context, m wechatws.Message) {
			if got = append(got, string(m.Data)); len(got)%7 == 0 {
				time.Sleep(time.Duration(len(got)%30) * time.Millisecond)
			}
		})
		c.connect()
		conn := w.conn()
		for i := range 1000 {
			want = append(want, fmt.Sprint(i))
			require.NoError(t, conn.Send(want[i]))
			time.Sleep(time.Duration(i%3) * time.Millisecond)
		}
		w.sleep(time.Minute)
		require.Equal(t, want, got)
		c.close()
	})
}

// A server's pings are answered, also while a large message is being written, a slow
// callback runs, and nothing is read by the WebSocket library.
func TestServerPingsAreAnswered(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		release := make(chan struct{})
		conn := busy(t, w, c, func(context.Context) { <-release })
		w.sleep(time.Second)
		conn.ReadSlowly(100_000)
		c.send(strings.Repeat("x", 1_000_000))
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			require.NoError(t, conn.Ping(ctx))
			cancel()
		}
		close(release)
		w.sleep(time.Minute)
		require.Equal(t, strings.Repeat("x", 1_000_000), received(conn)[0])
		require.Equal(t, 1, c.Stats().Opens)
		c.close()
	})
}

// After a callback that panics, an OnError callback that calls runtime.Goexit ends no more than itself:
// the other callbacks of the event are called.
func TestGoexitInOnErrorAfterAPanicDoesNotStopOtherCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, err := wechatws.New(w.srv.URL(), wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext))
		require.NoError(t, err)
		c.OnError(func(context.Context, error) { runtime.Goexit() })
		c.OnOpen(func(context.Context, wechatws.OpenEvent) { panic("a callback") })
		opens := 0
		c.OnOpen(func(context.Context, wechatws.OpenEvent) { opens++ })
		require.NoError(t, c.Connect(t.Context()))
		synctest.Wait()
		assert.Equal(t, 1, opens)
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		<-c.Done()
	})
}
