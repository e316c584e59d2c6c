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
	const workers = 500
	rooms := rooms
	if testing.Short() {
		rooms = 50_000
	}
	m := simulate(rooms, workers)
	t.Logf("%+v", m)

	// Rooms a worker: a binomial distribution. Of 500, none is expected further out
	// than 3.1 standard deviations, and beyond 5 is one in 3,500 such fleets.
	b := m.Balance
	require.InDelta(t, float64(rooms)/workers, b.Mean, 1e-9)
	require.InDelta(t, b.Expected, b.Stddev, 0.15*b.Expected)
	require.Less(t, math.Abs(b.Sigma), 4.0)
	require.Greater(t, float64(b.Min), b.Mean-5*b.Expected)
	require.Less(t, float64(b.Max), b.Mean+5*b.Expected)

	// Only the rooms of the one that left move, and all others share them: 4 each on
	// average of the full size, where more than 20 would be one in a million.
	require.Equal(t, m.Lost, m.LeaveMoved)
	require.Equal(t, m.Lost, m.LeaveNeed)
	require.Less(t, math.Abs(m.LeaveSpread.Sigma), 4.0)
	require.LessOrEqual(t, m.LeaveSpread.Max, 20)

	// A new one takes its share, and nothing else moves.
	share := float64(rooms) / (workers + 1)
	require.Equal(t, m.Joined, m.JoinNeed)
	require.InDelta(t, share, m.Joined, 5*math.Sqrt(share))
}

func TestBucketLoad(t *testing.T) {
	l := bucketLoad(1_000_000, 500, 2000, time.Second, 8*time.Second)
	require.InDelta(t, 500, l.Renewals, 1e-9)
	require.InDelta(t, 250_000, l.Deliveries, 1e-9)
	require.InDelta(t, 1_000_000, l.EachRoom, 1e-9)
	require.InDelta(t, 375_000, l.EachRoomThird, 1e-9)
	require.Equal(t, 1_000_000, l.LostDeliveries)
}
