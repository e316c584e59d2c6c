package placement

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// names hashes n names such as "worker-17".
func names(kind string, n int) []uint64 {
	hashes := make([]uint64, n)
	for i := range hashes {
		hashes[i] = Hash(fmt.Sprintf("%s-%d", kind, i))
	}
	return hashes
}

// A change of any of these values moves rooms between workers of different versions
// that run at the same time. They must not be changed to make the test pass.
func TestValuesStayAsTheyAreForEver(t *testing.T) {
	for name, want := range map[string]uint64{
		"":         0xef46db3751d8e999, // as published with XXH64
		"a":        0xd24ec4f1a98c6e5b,
		"abc":      0x44bc2cf5ad770999,
		"worker-1": 0xe2e28187dff6d54e,
		"room-1":   0xa6e642c3447f8d00,
		"房间":       0x6b4d3c6b710add8d,
		"a name that is longer than thirty-two bytes": 0x1675453df01ddd34,
	} {
		require.Equalf(t, want, Hash(name), "Hash(%q) = %#x", name, Hash(name))
	}
	for _, c := range []struct{ room, worker, want uint64 }{
		{0, 0, 0},
		{0, 1, 0xe220a8397b1dcdaf}, // the first number of SplitMix64 with seed 0
		{1, 0, 0x5692161d100b05e5},
		{Hash("room-1"), Hash("worker-1"), 0x0512d928231202f8},
		{Hash("worker-1"), Hash("room-1"), 0x8fbda9432689df74},
		{math.MaxUint64, math.MaxUint64, 0xe4d971771b652c20},
	} {
		got := Score(c.room, c.worker)
		require.Equalf(t, c.want, got, "Score(%#x, %#x) = %#x", c.room, c.worker, got)
	}

	workers, of := names("worker", 10), make([]int, 0, 16)
	for _, room := range names("room", 16) {
		of = append(of, Best(room, workers))
	}
	require.Equal(t, []int{0, 3, 5, 4, 7, 1, 3, 9, 5, 5, 3, 0, 7, 3, 3, 9}, of)
}

func TestNoWorkers(t *testing.T) {
	require.Equal(t, -1, Best(Hash("room"), nil))
}

// A score of zero is a score like any other.
func TestTheOnlyWorkerWins(t *testing.T) {
	require.Zero(t, Score(0, 0))
	require.Equal(t, 0, Best(0, []uint64{0}))
}

func TestTheOrderOfWorkersDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	workers := names("worker", 50)
	shuffled := slices.Clone(workers)
	for _, room := range names("room", 2000) {
		random.Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		require.Equal(t, workers[Best(room, workers)], shuffled[Best(room, shuffled)])
	}
}

func TestEqualHashesTie(t *testing.T) {
	a, b := Hash("a"), Hash("b")
	for _, room := range names("room", 100) {
		winner := []uint64{a, b}[Best(room, []uint64{a, b})]
		for _, order := range [][]uint64{{a, a, b, b}, {b, a, b, a}, {b, b, a, a}} {
			best := Best(room, order)
			require.Equal(t, winner, order[best])
			require.Equal(t, slices.Index(order, winner), best)
		}
	}
}

// Different workers never have the same score for a room: each step of Score can be
// undone.
func TestScoreIsABijectionOfWorker(t *testing.T) {
	inverse := func(odd uint64) uint64 { // modulo 2^64, by Newton's method
		x := odd
		for range 5 {
			x *= 2 - odd*x
		}
		return x
	}
	unshift := func(x uint64, by int) uint64 { // undoes x ^ x>>by
		for y := x; by < 64; by *= 2 {
			y ^= y >> by
			x = y
		}
		return x
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		room, worker := random.Uint64(), random.Uint64()
		x := unshift(Score(room, worker), 31)
		x = unshift(x*inverse(0x94d049bb133111eb), 27)
		x = unshift(x*inverse(0xbf58476d1ce4e5b9), 30)
		require.Equal(t, worker, (x^room)*inverse(0x9e3779b97f4a7c15))
	}
}

// Each bit of either argument changes about half of the bits of the score.
func TestScoreMixes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const rounds = 2000
	for bit := range 64 {
		ofRoom, ofWorker := 0, 0
		for range rounds {
			room, worker := random.Uint64(), random.Uint64()
			score := Score(room, worker)
			ofRoom += bits.OnesCount64(score ^ Score(room^1<<bit, worker))
			ofWorker += bits.OnesCount64(score ^ Score(room, worker^1<<bit))
		}
		require.InDelta(t, 32, float64(ofRoom)/rounds, 1, "bit %d of the room", bit)
		require.InDelta(t, 32, float64(ofWorker)/rounds, 1, "bit %d of the worker", bit)
	}
}

func TestAWorkerThatLeavesMovesOnlyItsRooms(t *testing.T) {
	workers := names("worker", 20)
	for gone := range workers {
		left := slices.Delete(slices.Clone(workers), gone, gone+1)
		for _, room := range names("room", 1000) {
			before, after := workers[Best(room, workers)], left[Best(room, left)]
			if before != workers[gone] {
				require.Equal(t, before, after)
			}
		}
	}
}

func TestAWorkerThatJoinsOnlyTakesRooms(t *testing.T) {
	workers, taken := names("worker", 20), 0
	joined := append(slices.Clone(workers), Hash("the new one"))
	for _, room := range names("room", 10_000) {
		if after := Best(room, joined); after != len(workers) {
			require.Equal(t, Best(room, workers), after)
		} else {
			taken++
		}
	}
	require.InDelta(t, 10_000/21, taken, 100)
}

func TestNothingIsAllocated(t *testing.T) {
	workers := names("worker", 500)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		Best(Hash("room-1"), workers)
	}))
}

var sink int

func BenchmarkBest500(b *testing.B) {
	workers, room := names("worker", 500), Hash("room-1")
	b.ReportAllocs()
	for b.Loop() {
		sink = Best(room, workers)
		room++
	}
}
