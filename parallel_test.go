package wechatws_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

type numbered struct {
	Type string `json:"msg_type"`
	Key  string `json:"key"`
	N    int    `json:"n"`
}

func keyOf(m wechatws.Message) string {
	var v numbered
	_ = m.Decode(&v)
	return v.Key
}

func (w *world) parallel(n int, options ...wechatws.Option) *client {
	return w.client(append(append(quiet(), wechatws.WithParallel(keyOf, n)), options...)...)
}

// Of 1,000 keys, whose messages take random times, each one's are handled in order and one at a time,
// and the context of each callback is that of its own message.
func TestParallelIsInOrderWithinAKey(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const lanes, keys, each = 20, 1000, 4
		c := w.parallel(lanes)
		var mu sync.Mutex
		last, busy, running, highest := map[string]int{}, map[string]bool{}, 0, 0
		wechatws.On(c.Client, "x", func(ctx context.Context, v numbered) {
			mu.Lock()
			assert.Equal(t, last[v.Key]+1, v.N)
			assert.False(t, busy[v.Key])
			last[v.Key], busy[v.Key] = v.N, true
			running++
			highest = max(highest, running)
			mu.Unlock()
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			mu.Lock()
			running--
			busy[v.Key] = false
			mu.Unlock()
			switch v.N {
			case 2:
				panic("oops")
			case 3:
				runtime.Goexit()
			}
		})
		c.connect()
		conn := w.conn()
		w.net.SetLatency(time.Millisecond)
		for n := range each {
			for key := range keys {
				require.NoError(t, conn.SendJSON(numbered{"x", fmt.Sprint(key), n + 1}))
			}
		}
		w.sleep(time.Minute)
		require.Len(t, last, keys)
		for key, n := range last {
			require.Equal(t, each, n, key)
		}
		assert.Equal(t, lanes, highest)
		assert.Len(t, c.errors(), 2*keys)
		assert.Zero(t, c.Stats().Inbox)
		assert.GreaterOrEqual(t, c.Stats().MaxInbox, 1000)
		c.close()
	})
}

// A key whose callback blocks holds only its own messages. An event waits for it.
func TestAKeyThatBlocks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.parallel(2).record()
		release := make(chan struct{})
		var handled atomic.Int32
		wechatws.On(c.Client, "block", func(context.Context, numbered) { <-release })
		wechatws.On(c.Client, "x", func(_ context.Context, v numbered) { handled.Add(1) })
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.SendJSON(numbered{Type: "block", Key: "a"}))
		for n := range 500 {
			require.NoError(t, conn.SendJSON(numbered{"x", fmt.Sprint("other", n%10), n}))
			require.NoError(t, conn.SendJSON(numbered{"x", "a", n}))
		}
		w.sleep(time.Hour)
		assert.EqualValues(t, 500, handled.Load())
		assert.Equal(t, 501, c.Stats().Inbox)
		_ = c.Reconnect()
		w.sleep(time.Minute)
		assert.Equal(t, []string{"state connecting", "state open", "open"}, c.events()[:3])
		assert.NotContains(t, c.events(), "close")
		close(release)
		w.sleep(time.Minute)
		assert.EqualValues(t, 1000, handled.Load())
		assert.Contains(t, c.events(), "close")
		assert.Zero(t, c.Stats().Inbox)
		c.close()
	})
}

// Two callbacks that shut the client down do not wait for each other.
func TestShutdownInParallelCallbacks(t *testing.T) {
	for _, lanes := range []int{1, 2, 10} {
		t.Run(fmt.Sprint(lanes), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.parallel(lanes)
				var handled, over atomic.Int32
				wechatws.On(c.Client, "end", func(ctx context.Context, _ numbered) {
					assert.NoError(t, c.Shutdown(ctx))
					over.Add(1)
				})
				wechatws.On(c.Client, "x", func(context.Context, numbered) { time.Sleep(time.Second); handled.Add(1) })
				c.connect()
				conn := w.conn()
				w.net.SetLatency(time.Millisecond)
				for n := range 8 {
					require.NoError(t, conn.SendJSON(numbered{"x", fmt.Sprint(n), n}))
				}
				require.NoError(t, conn.SendJSON(numbered{Type: "end", Key: "a"}))
				require.NoError(t, conn.SendJSON(numbered{Type: "end", Key: "b"}))
				<-c.Done()
				assert.EqualValues(t, 8, handled.Load())
				assert.GreaterOrEqual(t, over.Load(), int32(1))
				assert.Equal(t, wechatws.StateClosed, c.lastChange().To)
			})
		})
	}
}

// A Request in a callback gets its answer while there is room, and ErrInboxFull when there is none.
func TestRequestInParallelCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.parallel(3)
		results := make(chan error, 2)
		wechatws.On(c.Client, "ask", func(ctx context.Context, v numbered) {
			_, err := c.Request(ctx, "x", isOfType("answer"))
			results <- err
		})
		c.connect()
		conn := w.conn()
		for _, key := range []string{"a", "b"} {
			require.NoError(t, conn.SendJSON(numbered{Type: "ask", Key: key}))
		}
		w.sleep(time.Second)
		require.NoError(t, conn.Send(`{"msg_type":"answer"}`))
		assert.NoError(t, <-results)
		assert.NoError(t, <-results)

		require.NoError(t, conn.SendJSON(numbered{Type: "ask", Key: "a"}))
		w.sleep(time.Second)
		for n := range 2000 {
			require.NoError(t, conn.SendJSON(numbered{"x", "a", n}))
		}
		assert.ErrorIs(t, <-results, wechatws.ErrInboxFull)
		w.sleep(time.Second)
		assert.Zero(t, c.Stats().Inbox)
		c.close()
	})
}

// A message whose key function fails has the key "".
func TestAKeyFunctionThatFails(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), wechatws.WithParallel(func(m wechatws.Message) string {
					if m.Type == "faulty" {
						fault.happen()
					}
					return ""
				}, 5))...).record().connect()
				conn := w.conn()
				w.net.SetLatency(time.Millisecond)
				var want []string
				for _, typ := range []string{"first", "faulty", "last"} {
					want = append(want, `{"msg_type":"`+typ+`"}`)
					require.NoError(t, conn.Send(want[len(want)-1]))
				}
				w.sleep(time.Second)
				assert.Equal(t, want, c.texts())
				require.Len(t, c.errors(), 1)
				assert.ErrorContains(t, c.errors()[0], fault.value)
				c.close()
			})
		})
	}
}

// The memory of a message is used again only after its last callback, and a loop gets one message at a
// time, each once.
func TestMessagesInParallel(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const messages = 500
		c := w.parallel(8)
		c.OnMessageNoCopy(func(_ context.Context, m wechatws.Message) {
			before := string(m.Data)
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
			assert.Equal(t, before, string(m.Data))
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := map[string]bool{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for m, err := range c.Messages(ctx) {
				if err != nil {
					return
				}
				assert.False(t, got[string(m.Data)])
				got[string(m.Data)] = true
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
			}
		}()
		w.sleep(0)
		c.connect()
		conn := w.conn()
		w.net.SetLatency(time.Millisecond)
		for n := range messages {
			require.NoError(t, conn.SendJSON(numbered{"x", fmt.Sprint(n % 20), n}))
		}
		w.sleep(time.Minute)
		cancel()
		<-ended
		assert.Len(t, got, messages)
		assert.Zero(t, c.Stats().Inbox)
		c.close()
	})
}

func TestWithParallelIsChecked(t *testing.T) {
	for _, tt := range []struct {
		option wechatws.Option
		want   string
	}{
		{wechatws.WithParallel(nil, 2), "wechatws: WithParallel(nil): key must be a function"},
		{wechatws.WithParallel(keyOf, 0), "wechatws: WithParallel(n 0): must be 1 or more"},
	} {
		_, err := wechatws.New("ws://server.test", tt.option)
		assert.EqualError(t, err, tt.want)
	}
}
