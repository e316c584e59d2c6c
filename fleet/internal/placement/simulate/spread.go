package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// A spread is how evenly something is distributed over the workers.
type spread struct {
	Min, Max          int
	Mean, Stddev      float64
	Expected          float64 // the standard deviation if all were thrown at random
	ChiSquared, Sigma float64 // and by how many standard deviations it is off
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
	// The sum of squares over the mean has a chi-squared distribution with n-1 degrees
	// of freedom (of mean n-1 and variance 2(n-1)) if each room went to a worker at
	// random, independently of all others.
	s.ChiSquared = s.Stddev / s.Mean
	s.Sigma = (s.ChiSquared - (n - 1)) / math.Sqrt(2*(n-1))
	s.Stddev = math.Sqrt(s.Stddev / n)
	s.Expected = math.Sqrt(s.Mean * (1 - 1/n))
	return s
}

// A moves counts the rooms that placement moves, of so many rooms and workers, when one worker leaves
// or one joins.
type moves struct {
	Rooms, Workers int
	Balance        spread // of the rooms over the workers

	Lost        int    // rooms of the worker that left
	LeaveMoved  int    // rooms that moved when it did
	LeaveNeed   int    // of these, those that were its
	LeaveSpread spread // of the rooms that moved over the workers that are left

	Joined   int // rooms that moved when a worker joined
	JoinNeed int // of these, those that moved to it
}

// simulate places all rooms each time, as workers do, and does not rely on the properties of rendezvous
// hashing.
func simulate(rooms, workers int) moves {
	before := make([]uint64, workers)
	for i := range before {
		before[i] = placement.Hash(fmt.Sprintf("worker-%d", i))
	}
	gone := workers / 2
	left := slices.Delete(slices.Clone(before), gone, gone+1)
	joined := append(slices.Clone(before), placement.Hash("the new worker"))

	type part struct {
		moves
		of, to []int // rooms of each worker; rooms moved to each that is left
	}
	parts := make([]part, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for n := range parts {
		p := &parts[n]
		p.of, p.to = make([]int, workers), make([]int, workers-1)
		wait.Go(func() {
			for i := n; i < rooms; i += len(parts) {
				room := placement.Hash(fmt.Sprintf("room-%d", i))
				first := placement.Best(room, before)
				p.of[first]++
				if first == gone {
					p.Lost++
				}
				if now := placement.Best(room, left); left[now] != before[first] {
					p.LeaveMoved++
					p.to[now]++
					if first == gone {
						p.LeaveNeed++
					}
				}
				if now := placement.Best(room, joined); now != first {
					p.Joined++
					if now == workers {
						p.JoinNeed++
					}
				}
			}
		})
	}
	wait.Wait()

	sum := moves{Rooms: rooms, Workers: workers}
	of, to := make([]int, workers), make([]int, workers-1)
	for _, p := range parts {
		sum.Lost += p.Lost
		sum.LeaveMoved += p.LeaveMoved
		sum.LeaveNeed += p.LeaveNeed
		sum.Joined += p.Joined
		sum.JoinNeed += p.JoinNeed
		for i, c := range p.of {
			of[i] += c
		}
		for i, c := range p.to {
			to[i] += c
		}
	}
	sum.Balance, sum.LeaveSpread = spreadOf(of), spreadOf(to)
	return sum
}
