package outbox_test

import (
	"context"
	"testing"

	"github.com/wechatws/wechatws/internal/outbox"
)

// A message through the outbox: accepted, put in flight in a batch, written.
func BenchmarkOutbox(b *testing.B) {
	const most = 128
	o := outbox.New(outbox.Config[int]{
		Messages: 1024, Bytes: 1 << 20,
		Accepted: func(*outbox.Item[int]) {}, Dropped: func(*outbox.Item[int], error) {},
	})
	buffer := make([]*outbox.Item[int], 0, most)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		for range most {
			if err := o.Push(ctx, &outbox.Item[int]{Size: 60}); err != nil {
				b.Fatal(err)
			}
		}
		batch, flight := o.Next(buffer, most, 1<<16, always)
		o.Settle(flight, len(batch))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*most), "ns/message")
}
