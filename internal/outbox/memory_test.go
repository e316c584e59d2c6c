package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The outbox retains no item that has left, and such an item retains no other one.
func TestNothingThatHasLeftIsRetained(t *testing.T) {
	const n = 200
	o := New(Config[int]{Messages: n, Bytes: n, Accepted: func(*Item[int]) {}, Dropped: func(*Item[int], error) {}})
	var items []*Item[int]
	for i := range n {
		items = append(items, &Item[int]{Expires: time.Now().Add(time.Hour + time.Duration(i*7%n)*time.Second)})
		require.NoError(t, o.Push(context.Background(), items[i]))
	}
	for _, it := range items[:n-1] {
		o.Withdraw(it)
		require.Nil(t, it.prev)
		require.Nil(t, it.next)
		if len(o.expiring) < n/2 {
			require.LessOrEqual(t, cap(o.expiring), 4*(len(o.expiring)+1), "the memory is given back")
		}
		for _, left := range o.expiring[len(o.expiring):cap(o.expiring)] {
			require.Nil(t, left)
		}
	}
	require.Equal(t, 1, o.Stats().Messages)
}
