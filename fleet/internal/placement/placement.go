// Package placement decides which shard a room belongs to, and which worker a shard belongs to, by
// rendezvous hashing (also called highest random weight): each pair of a shard and a worker has a score
// that looks random, and a shard belongs to the worker with the highest one.
//
// So all workers that see the same list of workers decide the same, without any
// messages between them. When a worker leaves, only its shards move, and they spread evenly
// over all others, since each shard has its own order of the workers. When a worker
// joins, only the shards move that it wins.
//
// Finding the best one looks at each worker. That is a microsecond or two for 500 of
// them, so there is no ring or table that would have to be kept up to date.
//
// Hash and Score must stay as they are for ever, and be the same on all platforms:
// workers of different versions run side by side while a new version is rolled out,
// and have to agree. The tests hold golden values.
package placement

import (
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Hash is the hash of the name of a room, a shard or a worker: 64-bit xxHash (XXH64) with
// seed 0 over the bytes of the name.
//
// It is not cryptographic: names can be chosen so that they collide. The effect is
// only that many rooms are in the same shard.
func Hash(name string) uint64 {
	return xxhash.Sum64String(name)
}

// Shard returns the shard that a room belongs to, of so many.
func Shard(room string, shards int) int { return int(Hash(room) % uint64(shards)) }

// HashOf is the hash of a shard: that of its number as text.
func HashOf(shard int) uint64 { return Hash(strconv.Itoa(shard)) }

// Score is the weight of a worker for a shard, both given by their hashes.
//
// For one shard, different workers never have the same score: it is a bijection of
// worker.
func Score(shard, worker uint64) uint64 {
	// The multiplication makes the two arguments play different parts: without it
	// Score(a, b) were Score(b, a), and two shards whose hashes differ just as those of
	// two workers do would see these with their scores exchanged.
	x := shard ^ worker*0x9e3779b97f4a7c15

	// The finalizer of SplitMix64 (David Stafford's variant 13 of MurmurHash3's): each
	// bit of x changes each bit of the result with a probability of close to a half.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Best returns the index of the worker that the shard belongs to, or -1 if there is
// none. Which worker it is does not depend on the order of workers.
//
// A tie is only possible between equal hashes, since Score is a bijection. The first
// of them is returned: for this package they are the same worker. Of different names,
// one in 2^64 pairs has equal hashes.
func Best(shard uint64, workers []uint64) int {
	best, highest := -1, uint64(0)
	for i, worker := range workers {
		if score := Score(shard, worker); best < 0 || score > highest {
			best, highest = i, score
		}
	}
	return best
}
