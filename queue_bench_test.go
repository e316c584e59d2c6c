package wechatws

import (
	"context"
	"testing"
)

// A message through the queue: accepted, taken by the writer in a batch, written.
func BenchmarkQueue(b *testing.B) {
	c, err := New("ws://server.test")
	if err != nil {
		b.Fatal(err)
	}
	l := &link{client: c, writing: true}
	c.queue.link = l
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		for range maxBatch {
			if err := c.queue.push(ctx, &outgoing{Outbound: Outbound{Data: comment}}); err != nil {
				b.Fatal(err)
			}
		}
		batch, _, _ := c.queue.take(l)
		c.queue.wrote(l, len(batch), false, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxBatch), "ns/message")
}
