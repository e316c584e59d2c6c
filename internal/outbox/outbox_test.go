package outbox_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/outbox"
)

func (b *box) push(t *testing.T, items ...*item) {
	t.Helper()
	for _, it := range items {
		require.NoError(t, b.Push(t.Context(), it))
	}
}

func numbered(from, to int) (items []*item) {
	for n := from; n <= to; n++ {
		items = append(items, &item{Value: n, Size: 1})
	}
	return items
}

// waiting pushes an item on a goroutine of its own, and returns the result of that.
func (b *box) waiting(ctx context.Context, it *item) <-chan error {
	result := make(chan error, 1)
	go func() { result <- b.Push(ctx, it) }()
	synctest.Wait()
	return result
}

// Calls that wait for room are served in their order, small and large ones alike.
func TestPushersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(100, 10, outbox.Wait)
		b.push(t, &item{Value: 1, Size: 9})
		large := b.waiting(t.Context(), &item{Value: 2, Size: 8})
		small := b.waiting(t.Context(), &item{Value: 3, Size: 1})
		require.Empty(t, small, "there would be room for it")
		ctx, cancel := context.WithCancel(t.Context())
		last := b.waiting(ctx, &item{Value: 4, Size: 10})
		batch, flight := b.next(1)
		require.True(t, b.Settle(flight, len(batch)))
		synctest.Wait()
		require.NoError(t, <-large)
		require.NoError(t, <-small)
		require.Empty(t, last)
		behind := b.waiting(t.Context(), &item{Value: 5, Size: 1})
		require.Empty(t, behind)
		cancel()
		require.ErrorIs(t, <-last, errFull)
		require.NoError(t, <-behind, "the one before it has given up")
		require.Equal(t, []int{1, 2, 3, 5}, b.accepted)
	})
}

// An end of the wait for room, whatever has ended it, leaves nothing behind.
func TestTheWaitForRoomEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(b *box, it *item)
		want error
	}{
		"refused":   {func(b *box, _ *item) { b.Refuse(errClosed) }, errClosed},
		"finishing": {func(b *box, _ *item) { b.Finish() }, errClosed},
		"withdrawn": {func(b *box, it *item) { b.Withdraw(it) }, context.Canceled},
		"dropped":   {func(b *box, it *item) { b.Drop(it, errExpired) }, errExpired},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(1, 10, outbox.Wait)
				b.push(t, numbered(1, 1)...)
				it := &item{Value: 2}
				result := b.waiting(t.Context(), it)
				tt.end(b, it)
				require.ErrorIs(t, <-result, tt.want)
				require.Empty(t, b.dropped, "it was not accepted")
				require.Equal(t, 1, b.Stats().Messages)
				require.ErrorIs(t, b.Push(t.Context(), it), tt.want, "and is not accepted later")
			})
		})
	}
}

// With DropOldest Push never waits, also when all is in flight or kept.
func TestDropOldestNeverWaits(t *testing.T) {
	b := newBox(3, 100, outbox.DropOldest)
	b.push(t, numbered(1, 3)...)
	_, flight := b.next(3)
	b.push(t, &item{Value: 4, Kept: true})
	b.push(t, numbered(5, 8)...)
	require.Equal(t, []string{"5 full", "6 full", "7 full"}, b.dropped)
	require.Equal(t, outbox.Stats{Messages: 5, Bytes: 4, Most: 5}, b.Stats(), "one above what is in flight and kept")
	require.True(t, b.Settle(flight, 0))
	b.push(t, numbered(9, 9)...)
	batch, _ := b.next(10)
	require.Equal(t, []int{4, 8, 9}, values(batch))
}

// Flush waits for what was accepted before it, and for nothing else.
func TestFlush(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(t *testing.T, b *box, flight uint64)
		want error
	}{
		"written": {func(t *testing.T, b *box, flight uint64) { b.Settle(flight, 2) }, nil},
		"dropped": {func(t *testing.T, b *box, flight uint64) {
			b.Settle(flight, 1)
			time.Sleep(time.Minute)
			b.next(9)
		}, nil},
		"taken back": {func(t *testing.T, b *box, flight uint64) {
			b.Settle(flight, 0)
			b.takeBack()
		}, errClosed},
		"refused, then lost": {func(t *testing.T, b *box, _ uint64) {
			b.Refuse(errClosed)
			synctest.Wait()
			b.Lost(errLost)
		}, errClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(10, 100, outbox.Fail)
				b.Open()
				require.NoError(t, b.Flush(t.Context()), "there is nothing")
				b.push(t, &item{}, &item{Expires: time.Now().Add(time.Minute)})
				_, flight := b.next(2)
				result, other := make(chan error, 1), make(chan error, 1)
				go func() { result <- b.Flush(t.Context()) }()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.ErrorIs(t, b.Flush(ctx), context.DeadlineExceeded)
				b.push(t, &item{}) // behind the first call
				go func() { other <- b.Flush(t.Context()) }()
				synctest.Wait()
				require.Empty(t, result)
				tt.end(t, b, flight)
				require.Equal(t, tt.want, <-result)
				b.Settle(flight+1, 1)
				b.takeBack()
				<-other
			})
		})
	}
}

// A caller that has pushed an item must not take it for written when another one has taken it back.
func TestFlushAfterTakeBack(t *testing.T) {
	b := newBox(10, 100, outbox.Fail)
	b.Refuse(errClosed)
	require.Empty(t, b.TakeBack(errClosed))
	require.NoError(t, b.Flush(t.Context()), "there was nothing")
	b.Refuse(nil)
	b.push(t, &item{})
	b.Refuse(errClosed)
	require.Len(t, b.TakeBack(errClosed), 1)
	require.Empty(t, b.TakeBack(errClosed))
	require.Equal(t, errClosed, b.Flush(t.Context()))
	b.Refuse(nil)
	require.NoError(t, b.Flush(t.Context()))
}

// A direct item is accepted beyond the bounds while the outbox is open, and its call returns
// when it is written or lost.
func TestDirectItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(0, 0, outbox.Fail)
		require.ErrorIs(t, b.Push(t.Context(), &item{}), errNotOpen)
		b.Open()
		items := numbered(1, 5)
		b.push(t, items...)
		results := make([]chan error, len(items))
		for i, it := range items {
			results[i] = make(chan error, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if i == 2 {
				cancel()
			}
			go func() { results[i] <- b.Written(ctx, it) }()
		}
		require.ErrorIs(t, <-results[2], context.Canceled)
		batch, flight := b.next(3)
		require.Equal(t, []int{1, 2, 4}, values(batch), "the third one was withdrawn")
		b.Lost(errLost)
		require.Equal(t, errLost, <-results[4])
		require.True(t, b.Settle(flight, 1))
		require.NoError(t, <-results[0])
		require.NoError(t, b.Written(t.Context(), items[0]))
		require.Equal(t, errLost, <-results[1], "it does not wait for another connection")
		require.Equal(t, errLost, <-results[3])
		require.Zero(t, b.Stats().Messages)
	})
}

// An item that expires in flight is not written later, and does not wait until another one is.
func TestAnItemThatExpiresInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(10, 100, outbox.Fail)
		for n := range 3 {
			b.push(t, &item{Value: n, Expires: time.Now().Add(time.Minute)})
		}
		_, flight := b.next(3)
		time.Sleep(time.Hour)
		require.Empty(t, b.dropped, "it is being written")
		require.True(t, b.Settle(flight, 1))
		require.Equal(t, []string{"1 expired", "2 expired"}, b.dropped)
		require.Zero(t, b.Stats().Messages)
	})
}

// TakeBack takes what was accepted before Refuse, also if items are accepted again meanwhile.
func TestTakeBackLeavesWhatIsAcceptedLater(t *testing.T) {
	b := newBox(10, 100, outbox.Fail)
	b.push(t, numbered(1, 3)...)
	b.Refuse(errClosed)
	b.Refuse(nil)
	b.push(t, numbered(4, 5)...)
	_, flight := b.next(1)
	require.Equal(t, []int{2, 3}, values(b.TakeBack(errClosed)))
	require.True(t, b.Settle(flight, 1))
	batch, flight := b.next(9)
	require.Equal(t, []int{4, 5}, values(batch))
	require.True(t, b.Settle(flight, 2))
	require.NoError(t, b.Flush(t.Context()), "what was taken back was not accepted since")
}

// Of two calls that end a flight, the first one counts.
func TestAFlightEndsOnce(t *testing.T) {
	b := newBox(10, 100, outbox.Fail)
	b.push(t, numbered(1, 3)...)
	_, first := b.next(2)
	require.True(t, b.Settle(first, 1))
	require.False(t, b.Settle(first, 2))
	_, second := b.next(1)
	require.False(t, b.Settle(first, 1))
	require.True(t, b.Settle(second, 1))
	require.Equal(t, []int{3}, values(b.takeBack()))
}

// A batch has a bound in bytes, but at least one item.
func TestABatchIsBounded(t *testing.T) {
	b := newBox(10, 100, outbox.Fail)
	for _, size := range []int{20, 3, 7, 1} {
		b.push(t, &item{Value: size, Size: size})
	}
	for _, want := range [][]int{{20}, {3, 7}, {1}, nil} {
		batch, flight := b.Next(nil, 9, 10, always)
		require.Equal(t, want, values(batch))
		b.Settle(flight, len(batch))
	}
}

// The errors name the bounds.
func TestErrors(t *testing.T) {
	b := newBox(1, 10, outbox.Fail)
	b.push(t, &item{Size: 4})
	require.EqualError(t, b.Push(t.Context(), &item{}), "full: 1 messages, 4 bytes")
	require.EqualError(t, b.Push(t.Context(), &item{Size: 11}), "full: too big: 11 bytes of at most 10, see WithQueue")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("enough"))
	require.EqualError(t, b.Push(ended, &item{}), "enough")
	b.Finish()
	require.NoError(t, b.Push(t.Context(), &item{Kept: true}))
	require.Equal(t, errClosed, b.Push(t.Context(), &item{}))
	require.Equal(t, errClosed, b.Refusal())
}

// Many calls that wait cost no more for each item that leaves than few do: only those that
// are concerned wake.
//
//	go test -run '^$' -bench Waiting ./internal/outbox
func BenchmarkWaiting(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			o := newBox(1, 1<<20, outbox.Wait)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			_ = o.Push(ctx, &item{})
			for range n {
				go func() {
					for o.Push(ctx, &item{}) == nil {
					}
				}()
			}
			for b.Loop() {
				batch, flight := o.next(1)
				o.Settle(flight, len(batch))
				o.accepted = o.accepted[:0]
			}
		})
	}
}

// An item that was dropped or withdrawn before its Push is not accepted.
func TestAnItemThatEndsBeforeItsPush(t *testing.T) {
	b := newBox(10, 10, outbox.Fail)
	dropped, withdrawn := &item{Value: 1}, &item{Value: 2}
	b.Drop(dropped, errExpired)
	require.Equal(t, errExpired, b.Push(t.Context(), dropped))
	b.Withdraw(withdrawn)
	require.ErrorIs(t, b.Push(t.Context(), withdrawn), context.Canceled)
	require.Empty(t, b.accepted)
	require.Empty(t, b.dropped)
}

// Flush does not wait for what cannot be written any more.
func TestFlushWithoutHope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(10, 10, outbox.Fail)
		b.push(t, numbered(1, 2)...)
		b.Refuse(errClosed)
		require.Equal(t, errClosed, b.Flush(t.Context()))
	})
}
