package main

import (
	"context"
	"sync"
	"time"
)

const (
	// overlap is the time between two events in different goroutines from which on their order
	// is known: a call takes effect at some moment before it returns.
	overlap = time.Second

	beat = 20 * time.Millisecond // between two looks for a stall
)

// stalls are the times in which this process did not run, as on a machine that is busy with
// other processes: they say nothing about the client.
type stalls struct {
	mu  sync.Mutex
	all []stall
}

type stall struct{ from, to time.Time }

// watch records stalls until ctx ends.
func (s *stalls) watch(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for last := time.Now(); ctx.Err() == nil; last = time.Now() {
		<-tick.C
		if now := time.Now(); now.Sub(last) > 5*beat {
			s.add(stall{last, now})
		}
	}
}

func (s *stalls) add(one stall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
}

// between returns the length of all stalls between two moments.
func (s *stalls) between(from, to time.Time) (length time.Duration) {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.all) - 1; i >= 0 && s.all[i].to.After(from); i-- {
		if s.all[i].from.Before(to) {
			length += s.all[i].to.Sub(s.all[i].from)
		}
	}
	return length
}

// known reports whether the first event was surely before the second.
func (a *account) known(first, second time.Time) bool {
	return second.Sub(first)-a.stalls.between(first, second) > overlap
}
