package outbox_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/outbox"
)

// filled returns an open outbox with n items, and these.
func filled(n int, policy outbox.Policy, change func(i int, it *item)) (*outbox.Outbox[int], []*item) {
	o := outbox.New(outbox.Config[int]{
		Messages: n, Bytes: n, Policy: policy, Full: errFull, Expired: errExpired, NotOpen: errNotOpen,
		Accepted: func(*item) {}, Dropped: func(*item, error) {},
	})
	o.Open()
	items := make([]*item, n)
	for i := range items {
		items[i] = &item{Size: 1}
		if change != nil {
			change(i, items[i])
		}
		_ = o.Push(context.Background(), items[i])
	}
	return o, items
}

// large are the operations on a queue of n messages. Each returns what concerns all of them.
var large = map[string]func(n int) (operation func()){
	"DropOldest": func(n int) func() {
		// Kept items are the oldest: they must not be gone through each time.
		o, _ := filled(n, outbox.DropOldest, func(i int, it *item) { it.Kept = i < n/2 })
		fresh := make([]item, n)
		return func() {
			for i := range fresh {
				fresh[i].Size = 1
				_ = o.Push(context.Background(), &fresh[i])
			}
		}
	},
	"TakeBack": func(n int) func() {
		o, _ := filled(n, outbox.Fail, nil)
		o.Refuse(errClosed)
		return func() { o.TakeBack(errClosed) }
	},
	"Expire": func(n int) func() {
		o, _ := filled(n, outbox.Fail, func(_ int, it *item) { it.Expires = time.Unix(1, 0) })
		return func() { o.Next(nil, 1, 1, always) }
	},
	"Lost": func(n int) func() {
		// One item is direct, all others wait for the next connection; and so n times.
		o, _ := filled(n, outbox.Fail, nil)
		ones := make([]item, n)
		return func() {
			for i := range ones {
				o.Open()
				ones[i].Direct = true
				_ = o.Push(context.Background(), &ones[i])
				o.Lost(errLost)
			}
		}
	},
	"Withdraw": func(n int) func() {
		o, items := filled(n, outbox.Fail, nil)
		return func() {
			for i := range n / 2 { // from the middle outwards
				o.Withdraw(items[n/2+i])
				o.Withdraw(items[n/2-i-1])
			}
		}
	},
	"Flush": func(n int) func() {
		// The newest of n calls ends first.
		o, _ := filled(1, outbox.Fail, nil)
		ends := make([]context.CancelFunc, n)
		ended := make(chan error)
		for i := range ends {
			ctx, cancel := context.WithCancel(context.Background())
			ends[i] = cancel
			go func() { ended <- o.Flush(ctx) }()
		}
		return func() {
			for _, end := range slices.Backward(ends) {
				end()
				<-ended
			}
		}
	},
}

// perMessage returns the time that an operation takes for each of n messages.
func perMessage(n int, prepare func(n int) func()) time.Duration {
	operation := prepare(n)
	runtime.GC()
	began := time.Now()
	operation()
	return time.Since(began) / time.Duration(n)
}

// What an operation costs for a message does not depend on the length of the queue.
//
//	go test -run '^$' -bench Large ./internal/outbox
func BenchmarkLarge(b *testing.B) {
	for name, prepare := range large {
		for _, n := range []int{1_000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				var sum time.Duration
				for range b.N {
					sum += perMessage(n, prepare)
				}
				b.ReportMetric(float64(sum.Nanoseconds())/float64(b.N), "ns/message")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// A cost in proportion to the length of the queue would be 64 times as high.
func TestTheCostOfAMessageDoesNotDependOnTheQueue(t *testing.T) {
	const short, long = 100, 64 * 100 // Flush has a goroutine for each, of which the race detector permits 8,128
	least := func(n int, prepare func(n int) func()) time.Duration {
		times := make([]time.Duration, 5)
		for i := range times {
			times[i] = perMessage(n, prepare)
		}
		return slices.Min(times)
	}
	for name, prepare := range large {
		t.Run(name, func(t *testing.T) {
			require.Less(t, least(long, prepare), 25*max(least(short, prepare), 50*time.Nanosecond))
		})
	}
}

// The memory of messages that have left is released, whatever the way they have left.
func TestTheMemoryOfALargeQueueIsReleased(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, leave := range map[string]func(o *outbox.Outbox[int], items []*item){
		"written": func(o *outbox.Outbox[int], _ []*item) {
			for buffer := make([]*item, 0, 128); o.Stats().Messages > 0; clear(buffer[:128]) {
				batch, flight := o.Next(buffer, 128, 1<<20, always)
				o.Settle(flight, len(batch))
			}
		},
		"taken back": func(o *outbox.Outbox[int], _ []*item) {
			o.Refuse(errClosed)
			o.TakeBack(errClosed)
		},
		"withdrawn": func(o *outbox.Outbox[int], items []*item) {
			for _, it := range items {
				o.Withdraw(it)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 100_000
			before := heap()
			o, items := filled(n, outbox.Fail, func(i int, it *item) {
				if i%2 == 0 {
					it.Expires = time.Now().Add(time.Hour)
				}
			})
			require.Greater(t, heap()-before, int64(4<<20), "it is measured")
			leave(o, items)
			require.Zero(t, o.Stats().Messages)
			clear(items)
			require.Less(t, heap()-before, int64(2<<20))
			runtime.KeepAlive(o)
		})
	}
}
