package wechatws_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// What a message costs must not depend on how many others wait: compare the ns/message of
// the sizes. What is measured begins with a full queue, without a connection.
//
//	go test -run '^$' -bench LargeQueue -benchtime 1x .
func BenchmarkLargeQueue(b *testing.B) {
	send := func(b *testing.B, c *wechatws.Client, n int, options ...wechatws.SendOption) {
		text := `{"msg_type":"message"}`
		for range n {
			require.NoError(b, c.Send(b.Context(), text, options...))
		}
	}
	for name, measure := range map[string]struct {
		policy  wechatws.QueuePolicy
		options []wechatws.SendOption
		do      func(b *testing.B, c *wechatws.Client, n int)
	}{
		"Close": {do: func(b *testing.B, c *wechatws.Client, n int) {
			var left *wechatws.UndeliveredError
			require.ErrorAs(b, c.Close(wechatws.StatusNormalClosure, ""), &left)
			require.Len(b, left.Messages, n)
		}},
		"drop the oldest": {policy: wechatws.QueueDropOldest, do: func(b *testing.B, c *wechatws.Client, n int) {
			send(b, c, n)
		}},
		"drop the oldest, of those that can expire": {
			policy: wechatws.QueueDropOldest, options: []wechatws.SendOption{wechatws.ExpireAfter(time.Hour)},
			do: func(b *testing.B, c *wechatws.Client, n int) { send(b, c, n, wechatws.ExpireAfter(time.Hour)) },
		},
		"expire": {options: []wechatws.SendOption{wechatws.ExpireAfter(0)}, do: func(b *testing.B, c *wechatws.Client, n int) {
			send(b, c, 1)
			require.Equal(b, 1, c.Stats().Queued)
		}},
	} {
		for _, n := range []int{1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					c, err := wechatws.New("ws://server.test", wechatws.WithQueue(n, 1<<30, measure.policy))
					require.NoError(b, err)
					send(b, c, n, measure.options...)
					b.StartTimer()
					measure.do(b, c, n)
					b.StopTimer()
					_ = c.CloseNow()
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/message")
			})
		}
	}
}
