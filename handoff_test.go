package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

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

// A callback that blocks does not stop the reading: the end of the connection is seen, and
// the client connects again.
func TestABlockingCallbackDoesNotStopTheReader(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).record()
		release := make(chan struct{})
		conn := busy(t, w, c, func(context.Context) { <-release })
		w.sleep(time.Millisecond)
		conn.Cut(wstest.FIN)
		w.sleep(20 * time.Millisecond)
		require.Equal(t, wechatws.StateWaiting, c.State(), "the end was seen")
		w.sleep(3 * time.Second)
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
