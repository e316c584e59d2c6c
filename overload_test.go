package wechatws_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// heap is how much is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// beats is how many heartbeats the server has got.
func beats(c *wstest.Conn) (n int) {
	for _, text := range received(c) {
		if text == `{"msg_type":"ping"}` {
			n++
		}
	}
	return n
}

// A server that sends faster than callbacks run meets the bound of the inbox: most of its
// 100 MB wait on its side. The heartbeat goes on.
func TestAServerFasterThanTheCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		release := make(chan struct{})
		handled := 0
		wechatws.On(c.Client, "x", func(context.Context, struct{}) { <-release; handled++ })
		c.connect()
		conn := w.conn()
		before := heap()
		const n = 300
		flooded := make(chan struct{})
		go func() {
			defer close(flooded)
			text := `{"msg_type":"x","pad":"` + strings.Repeat("x", 100<<10) + `"}`
			for range n {
				if conn.Send(text) != nil {
					return
				}
			}
		}()
		w.sleep(time.Minute)
		require.Less(t, c.Stats().Inbox, 60, "4 MiB and what was read last")
		require.Less(t, int64(heap())-int64(before), int64(8<<20))
		require.Equal(t, 20, beats(conn))
		require.Empty(t, c.closes)
		close(release)
		<-flooded
		w.sleep(time.Second)
		require.Equal(t, n, handled)
		c.close()
	})
}

// A producer that is faster than the network meets the queue's bound. The heartbeat
// does not queue up behind it, and goes on when the network does.
func TestAProducerFasterThanTheNetwork(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithoutLiveness()).connect()
		conn := w.conn()
		conn.StopReading()
		before := heap()
		text := strings.Repeat("x", 10<<10)
		accepted := 0
		for range 5000 { // 50 MB
			err := c.Send(t.Context(), wechatws.Text(text))
			if errors.Is(err, wechatws.ErrQueueFull) {
				w.sleep(time.Millisecond)
				continue
			}
			require.NoError(t, err)
			accepted++
		}
		require.Less(t, accepted, 600, "4 MiB, and what the socket's buffers hold")
		require.Less(t, int64(heap())-int64(before), int64(10<<20))
		require.Zero(t, beats(conn))
		conn.ResumeReading()
		c.flush()
		w.sleep(30 * time.Second)
		require.Equal(t, accepted, len(received(conn))-beats(conn))
		require.InDelta(t, 11, beats(conn), 1)
		c.close()
	})
}
