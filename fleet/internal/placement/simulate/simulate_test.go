package main

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The names are always the same, so these bounds hold always or never. They are wide
// enough for nearly all sets of names.
func TestPlacement(t *testing.T) {
	const rooms, workers = 200_000, 100
	for _, shards := range []int{4096, 1 << 16} {
		m := simulate(rooms, shards, workers)
		t.Logf("%+v", m)

		// Shards a worker, and rooms a shard: two binomial distributions. Beyond 5 standard deviations is
		// one worker in millions.
		b, perWorker := m.Balance, float64(shards)/workers
		expected := b.Mean * math.Sqrt(1/perWorker+1/b.Mean)
		require.InDelta(t, float64(rooms)/workers, b.Mean, 1e-9)
		require.InDelta(t, expected, b.Stddev, 0.3*expected)
		require.Greater(t, float64(b.Min), b.Mean-5*expected)
		require.Less(t, float64(b.Max), b.Mean+5*expected)

		// Only the rooms of the one that left move, and the others share them.
		require.Equal(t, m.Lost, m.LeaveMoved)
		require.Equal(t, m.Lost, m.LeaveNeed)
		require.Less(t, m.LeaveSpread.Max, m.Lost/4)

		// A new one takes its share, and nothing else moves.
		share := float64(rooms) / (workers + 1)
		require.Equal(t, m.Joined, m.JoinNeed)
		require.InDelta(t, share, m.Joined, 5*expected)
	}
}

func TestBucketLoad(t *testing.T) {
	l := bucketLoad(1_000_000, 4096, 500, 8, time.Second, 8*time.Second)
	require.InDelta(t, 500, l.Renewals, 1e-9)
	require.InDelta(t, 250_000, l.Deliveries, 1e-9)
	require.InDelta(t, 1_000_000, l.EachRoom, 1e-9)
	require.InDelta(t, 375_000, l.EachRoomThird, 1e-9)
	require.Equal(t, 4000, l.LostDeliveries)
	require.Equal(t, 4596, l.JoinDeliveries)
}
