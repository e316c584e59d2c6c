package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"
)

// A lease is checked by the fence of the tests.
type lease struct{ lost atomic.Bool }

var errNoLease = errors.New("the lease has run out")

func (l *lease) fence() error {
	if l.lost.Load() {
		return errNoLease
	}
	return nil
}

// A message that the fence refuses is not written, ends the connection, and is not lost.
func TestFence(t *testing.T) {
	sayings := map[string]struct {
		options []wechatws.Option
		say     func(w *world, c *client)
		left    int
	}{
		"message":   {quiet(), func(w *world, c *client) { c.send("too late") }, 1},
		"heartbeat": {[]wechatws.Option{wechatws.WithoutLiveness()}, func(w *world, c *client) { w.sleep(3 * time.Second) }, 0},
		"ping":      {[]wechatws.Option{wechatws.WithoutHeartbeat()}, func(w *world, c *client) { w.sleep(3 * time.Second) }, 0},
		"over a library": {append(quiet(), wechatws.WithDialer(coder.Dialer{})),
			func(w *world, c *client) { c.send("too late") }, 1},
	}
	for name, s := range sayings {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var l lease
				c := w.client(append(s.options, wechatws.WithFence(l.fence))...).record()
				c.connect()
				conn := w.conn()
				c.send("in time")
				c.flush()
				l.lost.Store(true)
				s.say(w, c)
				w.sleep(time.Second)
				assert.Equal(t, []string{"in time"}, received(conn))
				assert.ErrorIs(t, c.lastClose().Err, errNoLease)
				assert.Equal(t, wechatws.StatusAbnormalClosure, c.lastClose().Code)
				assert.False(t, c.lastClose().Remote)
				w.sleep(10 * time.Second)
				assert.Equal(t, 1, c.Stats().Opens, "the fence is asked before each dial")
				var undelivered *wechatws.UndeliveredError
				if err := c.Close(1000, ""); s.left > 0 && assert.ErrorAs(t, err, &undelivered) {
					assert.Len(t, undelivered.Messages, s.left)
				}
			})
		})
	}
}

// A fence may end the client, and whatever else it does, the client can be closed.
func TestFencesThatDoNotJustReturn(t *testing.T) {
	for name, fence := range map[string]func(c *wechatws.Client) error{
		"CloseNow":               func(c *wechatws.Client) error { _ = c.CloseNow(); return nil },
		"CloseNow and a refusal": func(c *wechatws.Client) error { _ = c.CloseNow(); return errNoLease },
		"Close":                  func(c *wechatws.Client) error { _ = c.Close(wechatws.StatusNormalClosure, ""); return nil },
		"panic":                  func(*wechatws.Client) error { panic("oops") },
		"Goexit":                 func(*wechatws.Client) error { runtime.Goexit(); return nil },
	} {
		for _, size := range []int{10, 10 << 20} { // written by the sender, and by the writer
			t.Run(fmt.Sprint(name, ", ", size), func(t *testing.T) {
				t.Parallel()
				srv := wstest.NewServer()
				defer srv.Close()
				var c *wechatws.Client
				var armed atomic.Bool
				var calls atomic.Int32
				after := int32(1)
				if size > 10 {
					after = 3 // the socket is full by then
				}
				c, err := wechatws.New(srv.URL(), append(quiet(), wechatws.WithProxy(nil), wechatws.WithDrainTimeout(time.Millisecond), wechatws.WithQueue(100, 64<<20, wechatws.QueueFail), wechatws.WithFence(func() error {
					if armed.Load() && calls.Add(1) == after {
						return fence(c)
					}
					return nil
				}))...)
				require.NoError(t, err)
				require.NoError(t, c.Connect(t.Context()))
				ended := make(chan struct{})
				c.OnClose(func(context.Context, wechatws.CloseEvent) { close(ended) })
				conn, err := srv.NextConn(t.Context())
				require.NoError(t, err)
				armed.Store(true)
				require.NoError(t, c.Send(t.Context(), wechatws.Text(strings.Repeat("x", size))))
				<-ended
				armed.Store(false)
				_ = c.CloseNow()
				<-c.Done()
				require.Empty(t, conn.Received())
			})
		}
	}
}

// Without the lease not even a close frame is written.
func TestFenceRefusesTheCloseFrame(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var l lease
		c := w.client(append(quiet(), wechatws.WithFence(l.fence))...).connect()
		conn := w.conn()
		l.lost.Store(true)
		began := time.Now()
		_ = c.Close(1000, "bye")
		assert.Zero(t, time.Since(began))
		w.sleep(time.Second)
		code, _ := conn.CloseCode()
		assert.Equal(t, int(wechatws.StatusAbnormalClosure), code)
	})
}

// On a real socket a lone message is written by other code.
func TestFenceOnARealSocket(t *testing.T) {
	srv := wstest.NewServer()
	defer srv.Close()
	var l lease
	c, err := wechatws.New(srv.URL(), append(quiet(), wechatws.WithFence(l.fence))...)
	if !assert.NoError(t, err) {
		return
	}
	ended := make(chan wechatws.CloseEvent, 1)
	w := watch(t, c)
	w.OnClose(func(_ context.Context, e wechatws.CloseEvent) { ended <- e })
	w.connect()
	w.send("in time")
	w.flush()
	l.lost.Store(true)
	w.send("too late")
	assert.ErrorIs(t, (<-ended).Err, errNoLease)
	_ = w.Close(1000, "")
}
