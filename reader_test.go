package wechatws_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// The reader never waits for a goroutine of the user's that can itself wait for the reader: with a
// server that reads only after it has written, messages move on in both directions when a call that
// blocks has ended, and that keeps its bound, wherever it is made. In a callback, a full inbox ends
// the wait for an answer, without any deadline.
func TestNoCallStopsTheReader(t *testing.T) {
	const bound = 3 * time.Second
	calls := map[string]func(ctx context.Context, c *client){
		"Request": func(ctx context.Context, c *client) {
			_, _ = c.Request(ctx, "ask", isOfType("never"))
		},
		"SendConfirmed": func(ctx context.Context, c *client) {
			_, _ = c.SendConfirmed(ctx, "ask", isOfType("never"))
		},
		"SendConfirmed, for its turn,": func(ctx context.Context, c *client) {
			go func() { _, _ = c.SendConfirmed(c.t.Context(), "first", isOfType("never")) }()
			time.Sleep(time.Millisecond)
			_, _ = c.SendConfirmed(ctx, "ask", isOfType("never"))
		},
		"Send": func(ctx context.Context, c *client) {
			for c.Send(ctx, wechatws.Text(strings.Repeat("x", 4000))) == nil {
			}
		},
		"Send with FailFast": func(ctx context.Context, c *client) { _ = c.Send(ctx, "x", wechatws.FailFast()) },
		"Flush":              func(ctx context.Context, c *client) { _ = c.Flush(ctx) },
		"Messages": func(ctx context.Context, c *client) {
			for range c.Messages(ctx) {
			}
		},
		"Connect": func(ctx context.Context, c *client) { _ = c.Connect(ctx) },
		"Run":     func(ctx context.Context, c *client) { _ = c.Run(ctx) },
		"Done": func(ctx context.Context, c *client) {
			select {
			case <-c.Done():
			case <-ctx.Done():
			}
		},
	}
	places := map[string]func(w *world, c *client, call func(context.Context)){
		"in a callback": func(w *world, c *client, call func(context.Context)) {
			var once sync.Once
			wechatws.On(c.Client, "chat", func(ctx context.Context, _ struct{}) { once.Do(func() { call(ctx) }) })
		},
		"in a match function": func(w *world, c *client, call func(context.Context)) {
			go func() {
				_, _ = c.Request(w.Context(), "ask", func(wechatws.Message) bool { call(w.Context()); return true })
			}()
		},
		"behind a full inbox": func(w *world, c *client, call func(context.Context)) {
			full := sync.OnceFunc(func() { time.Sleep(3 * bound) })
			wechatws.On(c.Client, "chat", func(context.Context, struct{}) { full() })
			go func() {
				time.Sleep(bound)
				call(w.Context())
			}()
		},
	}
	for where, place := range places {
		for name, call := range calls {
			t.Run(name+" "+where, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.net.SetLatency(50 * time.Millisecond)
					chat := `{"msg_type":"chat","pad":"` + strings.Repeat("x", 2000) + `"}`
					w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) {
						for range 5 {
							_ = conn.Send(chat)
						}
					})
					c := w.client(wechatws.WithQueue(16, 1<<20, wechatws.QueueWait)).connect()
					conn := w.conn()
					ctx, cancel := context.WithCancel(t.Context())
					defer func() {
						cancel()
						_ = c.CloseNow()
						w.sleep(10 * bound)
					}()
					for range 8 {
						go func() {
							for c.Send(ctx, wechatws.Text(strings.Repeat("y", 4000))) == nil {
							}
						}()
					}
					ended := make(chan time.Duration, 1)
					place(w, c, func(ctx context.Context) {
						if where != "in a callback" || name != "Request" && !strings.HasPrefix(name, "SendConfirmed") {
							var cancel context.CancelFunc
							ctx, cancel = context.WithTimeout(ctx, bound)
							defer cancel()
						}
						began := time.Now()
						call(ctx, c)
						ended <- time.Since(began)
					})
					time.Sleep(4 * bound)
					require.Len(t, ended, 1)
					assert.LessOrEqual(t, <-ended, bound)
					before, in := len(conn.Received()), c.Stats().MessagesIn
					time.Sleep(time.Second)
					assert.Greater(t, len(conn.Received()), before+20, "the server reads on")
					assert.Greater(t, c.Stats().MessagesIn, in+100, "and so does the client")
					assert.Equal(t, 1, c.Stats().Opens)
				})
			})
		}
	}
}

// A readConn is a network connection that records how many goroutines read at a time.
type readConn struct {
	net.Conn
	reading, most atomic.Int32
}

func (c *readConn) Read(p []byte) (int, error) {
	c.most.Store(max(c.most.Load(), c.reading.Add(1)))
	defer c.reading.Add(-1)
	return c.Conn.Read(p)
}

// Another goroutine is the reader when a callback on the reader's waits for an answer: one at a time.
func TestOneGoroutineReads(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn := &readConn{}
		c := w.client(append(quiet(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			var err error
			conn.Conn, err = w.net.DialContext(ctx, network, addr)
			return conn, err
		}))...)
		w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) { _ = conn.Send(`{"msg_type":"reply"}`) })
		answered := 0
		wechatws.On(c.Client, "ask", func(ctx context.Context, _ struct{}) {
			if _, err := c.Request(ctx, "ask", isReply); err == nil {
				answered++
			}
		})
		c.connect()
		peer := w.conn()
		for range 5 { // after the first one the reader runs the callbacks
			require.NoError(t, peer.Send(`{"msg_type":"ask"}`))
			w.sleep(0)
		}
		require.Equal(t, 5, answered)
		require.EqualValues(t, 1, conn.most.Load())
		c.close()
	})
}
