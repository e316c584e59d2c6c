package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func numbers(from, to int) (texts []string) {
	for n := from; n <= to; n++ {
		texts = append(texts, fmt.Sprint(n))
	}
	return texts
}

func outgoing(messages []wechatws.Outbound) (texts []string) {
	for _, m := range messages {
		texts = append(texts, string(m.Data))
	}
	return texts
}

func TestSend(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		binary := []byte{1, 2}
		require.NoError(t, c.Send(t.Context(), map[string]any{"msg_type": "message", "content": "你好"}))
		require.NoError(t, c.Send(t.Context(), wechatws.Text("text")))
		require.NoError(t, c.Send(t.Context(), wechatws.Binary(binary)))
		binary[0] = 99 // it was copied
		c.flush()
		w.sleep(0)
		conn := w.conn()
		assert.Equal(t, []string{`{"content":"你好","msg_type":"message"}`, "text", "\x01\x02"}, received(conn))
		assert.True(t, conn.Received()[2].Binary)

		assert.ErrorContains(t, c.Send(t.Context(), make(chan int)), "wechatws: cannot encode chan int: json: unsupported type")
		assert.ErrorIs(t, c.Send(t.Context(), wechatws.Text("\xff")), wechatws.ErrNotUTF8)
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		assert.EqualError(t, c.Send(ended, wechatws.Text("x")), "enough")
		c.close()
	})
}

func TestAMessageSentWithoutAConnectionArrivesLater(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client(append(quiet(), wechatws.WithLoginMessage("login"))...)
		c.send("before Connect")
		go c.Run(t.Context())
		w.sleep(time.Minute)
		c.send("while waiting")
		assert.Equal(t, 2, c.Stats().Queued)
		assert.Equal(t, len("before Connect")+len("while waiting"), c.Stats().QueuedBytes)
		w.srv.Start()
		c.flush()
		c.send("while open")
		w.sleep(0)
		assert.Equal(t, []string{`"login"`, "before Connect", "while waiting", "while open"}, received(w.conn()))
		c.close()
	})
}

// After a failed write its message is at the front of the queue.
func TestAFailedWriteGoesFirstOnTheNextLink(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		first := w.conn()
		first.StopReading()
		pad := strings.Repeat("x", 40<<10)
		for n := range 5 {
			c.send(fmt.Sprint(n, pad))
		}
		w.sleep(time.Second)
		queued := c.Stats().Queued
		require.Positive(t, queued)
		first.Cut(wstest.RST)
		c.flush()
		w.sleep(0)
		got := received(w.conn())
		assert.Len(t, got, queued, "what the socket had taken is not sent again")
		for i, text := range got {
			assert.Equal(t, fmt.Sprint(5-queued+i), text[:1])
		}
		c.close()
	})
}

func TestQueueIsBounded(t *testing.T) {
	tests := map[string]struct {
		messages, bytes int
		size            int
		fit             int
	}{
		"in messages": {10, 1 << 20, 1, 10},
		"in bytes":    {1000, 100, 30, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(wechatws.WithQueue(tt.messages, tt.bytes, wechatws.QueueFail))
				for n := range tt.fit {
					require.NoError(t, c.Send(t.Context(), wechatws.Binary(make([]byte, tt.size))), n)
				}
				err := c.Send(t.Context(), wechatws.Binary(make([]byte, tt.size)))
				assert.ErrorIs(t, err, wechatws.ErrQueueFull)
				assert.EqualError(t, err, fmt.Sprintf("wechatws: outbound queue is full: %d messages, %d bytes", tt.fit, tt.fit*tt.size))
				err = c.Send(t.Context(), wechatws.Binary(make([]byte, tt.bytes+1)))
				assert.ErrorIs(t, err, wechatws.ErrQueueFull)
				assert.ErrorIs(t, err, wechatws.ErrMessageTooBig)
				assert.EqualError(t, err, fmt.Sprintf("wechatws: outbound queue is full: message is too big: %d bytes of at most %d, see WithQueue", tt.bytes+1, tt.bytes))
				var left *wechatws.UndeliveredError
				require.ErrorAs(t, c.Close(1000, ""), &left)
				assert.Len(t, left.Messages, tt.fit)
			})
		})
	}
}

func TestQueueWait(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(3, 1<<20, wechatws.QueueWait))...)
		c.send(numbers(1, 3)...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Send(ctx, wechatws.Text("too late"))
		assert.ErrorIs(t, err, wechatws.ErrQueueFull)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, w.since())

		sent := make(chan struct{})
		go func() {
			c.send(numbers(4, 1000)...)
			close(sent)
		}()
		w.sleep(time.Minute)
		assert.Equal(t, 3, c.Stats().Queued)
		c.connect()
		<-sent
		c.flush()
		w.sleep(0)
		assert.Equal(t, numbers(1, 1000), received(w.conn()))

		conn := w.srv.Conns()[0]
		conn.StopReading()
		for range 2 {
			c.send(strings.Repeat("x", 400<<10))
		}
		blocked := make(chan error)
		go func() { blocked <- c.Send(t.Context(), wechatws.Text(strings.Repeat("x", 400<<10))) }()
		w.sleep(time.Second)
		go c.Close(1000, "")
		assert.ErrorIs(t, <-blocked, wechatws.ErrClosed, "Close ends the wait")
		w.sleep(time.Minute)
	})
}

func TestQueueDropOldest(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(3, 1<<20, wechatws.QueueDropOldest))...)
		c.send(numbers(1, 5)...)
		w.sleep(0)
		var dropped []string
		for _, err := range c.errors() {
			var de *wechatws.DroppedError
			require.ErrorAs(t, err, &de)
			assert.Zero(t, de.More)
			dropped = append(dropped, outgoing(de.Messages)...)
		}
		assert.Equal(t, []string{"1", "2"}, dropped, "OnError receives them")
		c.connect()
		c.flush()
		w.sleep(0)
		assert.Equal(t, []string{"3", "4", "5"}, received(w.conn()))
		c.close()
	})
}

// The reports of dropped messages are bounded too: they do not pile up behind a callback
// that blocks while a producer goes on.
func TestReportsOfDropsAreBounded(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithQueue(3, 1<<20, wechatws.QueueDropOldest))
		release := make(chan struct{})
		c.OnError(func(context.Context, error) { <-release })
		c.send(numbers(1, 1000)...)
		close(release)
		w.sleep(0)
		named, more := 0, 0
		for _, err := range c.errors() {
			var de *wechatws.DroppedError
			require.ErrorAs(t, err, &de)
			assert.Regexp(t, fmt.Sprintf("^wechatws: %d messages? dropped: outbound queue is full$", len(de.Messages)+de.More), err)
			assert.LessOrEqual(t, len(de.Messages), 3)
			named, more = named+len(de.Messages), more+de.More
		}
		assert.Equal(t, 997, named+more)
		assert.Positive(t, more)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.Close(1000, ""), &left)
		assert.Equal(t, numbers(998, 1000), outgoing(left.Messages))
	})
}

func TestWithoutAQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(0, 0, wechatws.QueueFail))...)
		assert.ErrorIs(t, c.Send(t.Context(), wechatws.Text("x")), wechatws.ErrNotOpen)
		c.connect()
		c.send("written when Send returns")
		assert.Zero(t, c.Stats().Queued)
		conn := w.conn()
		w.sleep(0)
		assert.Equal(t, []string{"written when Send returns"}, received(conn))

		conn.StopReading()
		results := make(chan error, 5)
		for range 5 {
			go func() { results <- c.Send(t.Context(), wechatws.Text(strings.Repeat("x", 40<<10))) }()
		}
		w.sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, c.Send(ctx, wechatws.Text("given up")), context.DeadlineExceeded)
		conn.Cut(wstest.RST)
		failed := 0
		for range 5 {
			if err := <-results; err != nil {
				assert.ErrorIs(t, err, wechatws.ErrNotOpen)
				failed++
			}
		}
		assert.GreaterOrEqual(t, failed, 3, "each call has returned an error")
		w.sleep(time.Minute)
		assert.Empty(t, received(w.conn()), "and nothing is sent later")
		c.close()
	})
}

func TestFlush(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.flush() // nothing to wait for
		c.send("x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, c.Flush(ctx), context.DeadlineExceeded)
		flushed := make(chan error)
		go func() { flushed <- c.Flush(t.Context()) }()
		w.sleep(time.Hour)
		c.connect()
		assert.NoError(t, <-flushed)

		w.srv.Stop(wstest.FIN)
		w.sleep(0)
		c.send("y")
		go func() { flushed <- c.Flush(t.Context()) }()
		w.sleep(time.Second)
		var left *wechatws.UndeliveredError
		assert.ErrorAs(t, c.Close(1000, ""), &left)
		assert.ErrorIs(t, <-flushed, wechatws.ErrClosed)

		c = w.client(wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 3}))
		c.send("z")
		go func() { flushed <- c.Flush(t.Context()) }()
		err := c.Connect(t.Context())
		assert.ErrorIs(t, <-flushed, wechatws.ErrClosed, "a failure ends it")
		assert.ErrorAs(t, c.Close(1000, ""), &left)
		assert.Error(t, err)
	})
}

func TestCloseDrainsForAWhileAndHandsBackTheRest(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithDrainTimeout(5*time.Second))...).connect()
		c.send(numbers(1, 100)...)
		require.NoError(t, c.Close(1000, ""))
		w.sleep(0)
		assert.Equal(t, numbers(1, 100), received(w.conn()))
		assert.Zero(t, w.since(), "no longer than it takes")

		c.connect()
		w.conn().StopReading()
		pad := strings.Repeat("x", 40<<10)
		for n := range 5 {
			c.send(fmt.Sprint(n, pad))
		}
		err := c.Close(1000, "")
		assert.Equal(t, 5*time.Second+1750*time.Millisecond, w.since(), "the drain timeout, and the time for a close frame that cannot be written")
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, err, &left)
		assert.Equal(t, "4", string(left.Messages[len(left.Messages)-1].Data[:1]))
		assert.False(t, left.Messages[0].Binary)
		assert.EqualError(t, err, fmt.Sprintf("wechatws: %d messages were not delivered", len(left.Messages)))
		assert.NoError(t, c.Close(1000, ""), "they are handed back once")
	})
}

func TestManyGoroutinesSendInOrder(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(10, 1<<20, wechatws.QueueWait))...).connect()
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				for n := range 500 {
					c.send(fmt.Sprintf("%d %d", g, n))
				}
			})
		}
		all.Wait()
		c.flush()
		w.sleep(0)
		var next [8]int
		for _, text := range received(w.conn()) {
			var g, n int
			_, err := fmt.Sscan(text, &g, &n)
			require.NoError(t, err)
			require.Equal(t, next[g], n)
			next[g]++
		}
		assert.Equal(t, [8]int{500, 500, 500, 500, 500, 500, 500, 500}, next)
		c.close()
	})
}

// The memory of messages that have left the queue is released, also if it does not become
// empty.
func TestMemoryOfALargeQueueIsGivenBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const n = 30_000
		c, err := wechatws.New(w.srv.URL(), wechatws.WithQueue(n, 1<<30, wechatws.QueueFail))
		require.NoError(t, err)
		dropped := 0
		c.OnError(func(_ context.Context, err error) {
			var de *wechatws.DroppedError
			require.ErrorAs(t, err, &de)
			require.ErrorIs(t, err, wechatws.ErrExpired)
			for i, m := range de.Messages[:len(de.Messages)-1] {
				require.Less(t, string(m.Data), string(de.Messages[i+1].Data), "in order")
			}
			dropped += len(de.Messages)
		})
		before := heap()
		require.NoError(t, c.Send(t.Context(), 0))
		for i := 1; i < n; i++ {
			require.NoError(t, c.Send(t.Context(), n+i, wechatws.ExpireAfter(time.Minute)))
		}
		w.sleep(time.Minute)
		require.NoError(t, c.Send(t.Context(), 0), "the expired make room")
		w.sleep(0)
		require.Equal(t, n-1, dropped)
		require.Equal(t, 2, c.Stats().Queued)
		require.Less(t, int64(heap())-int64(before), int64(100<<10))
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
		require.Equal(t, []string{"0", "0"}, outgoing(left.Messages))
	})
}
