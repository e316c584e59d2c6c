package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// A spread is how evenly something is distributed.
type spread struct {
	Min, Max     int
	Mean, Stddev float64
}

func spreadOf(counts []int) spread {
	n, total := float64(len(counts)), 0
	for _, c := range counts {
		total += c
	}
	s := spread{Min: slices.Min(counts), Max: slices.Max(counts), Mean: float64(total) / n}
	for _, c := range counts {
		s.Stddev += (float64(c) - s.Mean) * (float64(c) - s.Mean)
	}
	s.Stddev = math.Sqrt(s.Stddev / n)
	return s
}

// A moves counts the rooms that placement moves, of so many rooms, shards and workers, when one worker
// leaves or one joins.
type moves struct {
	Rooms, Shards, Workers int
	Balance                spread // of the rooms over the workers
	Fill                   spread // of the rooms over the shards

	Lost        int    // rooms of the worker that left
	LostShards  int    // shards of that worker
	LeaveMoved  int    // rooms that moved when it did
	LeaveNeed   int    // of these, those that were its
	LeaveSpread spread // of the rooms that moved over the workers that are left

	Joined   int // rooms that moved when a worker joined
	JoinNeed int // of these, those that moved to it
}

// simulate places all shards each time, as workers do, and does not rely on the properties of rendezvous
// hashing.
func simulate(rooms, shards, workers int) moves {
	before := make([]uint64, workers)
	for i := range before {
		before[i] = placement.Hash(fmt.Sprintf("worker-%d", i))
	}
	gone := workers / 2
	left := slices.Delete(slices.Clone(before), gone, gone+1)
	joined := append(slices.Clone(before), placement.Hash("the new worker"))

	in := make([]int, shards) // rooms of each shard
	for i := range rooms {
		in[placement.Shard(fmt.Sprintf("room-%d", i), shards)]++
	}
	m := moves{Rooms: rooms, Shards: shards, Workers: workers}
	of, to := make([]int, workers), make([]int, workers-1) // rooms of each worker; rooms moved to each that is left
	for shard, n := range in {
		hash := placement.HashOf(shard)
		first := placement.Best(hash, before)
		of[first] += n
		if first == gone {
			m.Lost += n
			m.LostShards++
		}
		if now := placement.Best(hash, left); left[now] != before[first] {
			m.LeaveMoved += n
			to[now] += n
			if first == gone {
				m.LeaveNeed += n
			}
		}
		if now := placement.Best(hash, joined); now != first {
			m.Joined += n
			if now == workers {
				m.JoinNeed += n
			}
		}
	}
	m.Balance, m.Fill, m.LeaveSpread = spreadOf(of), spreadOf(in), spreadOf(to)
	return m
}
