package wechatws_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

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
