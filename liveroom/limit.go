package liveroom

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// A limit lets n things happen in any span of time that is as long as per. [limit.take] waits for one
// of n permits, and [limit.giveLater] gives it back when that time has passed. A token bucket would let
// 2n happen in the span that begins with a full bucket.
//
// Two lines wait for permits, and take turns while both do: the rooms whose last attempt has failed,
// and all others. So rooms that fail again and again take at most half of the permits that others
// wait for. Each line is first come, first served. A nil limit permits everything.
type limit struct {
	per time.Duration
	max int // how many may wait; 0: any number

	mu    sync.Mutex
	free  int
	lines [2][]*turn // sorted by their tickets
	turn  int        // the line whose turn it is
	last  uint64     // the ticket that was given out last
	ended error      // the error of take; nil: permits are given
}

// newLimit returns nil, which is no limit, if n is zero.
func newLimit(n int, per time.Duration, max int) *limit {
	if n == 0 {
		return nil
	}
	return &limit{free: n, per: per, max: max}
}

// A place is a place in the line of a limit. It is kept from an interrupted wait to the next one.
type place struct{ ticket uint64 }

// A turn is a call of take that waits.
type turn struct {
	ticket uint64
	over   chan struct{} // closed when it has a permit, or the limit has ended
	err    error
}

func byTicket(a, b *turn) int { return int(int64(a.ticket - b.ticket)) }

// take waits for a permit, in the line of those that have failed or in the other one. It returns
// [wechatws.ErrQueueFull] if too many wait, the error of end, or the cause of ctx's end.
func (l *limit) take(ctx context.Context, p *place, failed bool) error {
	if l == nil {
		return nil
	}
	line := &l.lines[0]
	if failed {
		line = &l.lines[1]
	}
	l.mu.Lock()
	switch waiting := len(l.lines[0]) + len(l.lines[1]); {
	case l.ended != nil:
		defer l.mu.Unlock()
		return l.ended
	case ctx.Err() != nil:
		l.mu.Unlock()
		return context.Cause(ctx)
	case l.free > 0: // then nothing waits
		l.free--
		p.ticket = 0
		l.mu.Unlock()
		return nil
	case l.max > 0 && waiting >= l.max:
		l.mu.Unlock()
		return wechatws.ErrQueueFull
	}
	if p.ticket == 0 {
		l.last++
		p.ticket = l.last
	}
	t := &turn{ticket: p.ticket, over: make(chan struct{})}
	at, _ := slices.BinarySearchFunc(*line, t, byTicket)
	*line = slices.Insert(*line, at, t)
	l.mu.Unlock()
	select {
	case <-t.over:
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		p.ticket = 0
		return t.err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, waits := slices.BinarySearchFunc(*line, t, byTicket); waits {
		*line = slices.Delete(*line, at, at+1)
	} else if t.err == nil { // it has a permit as well
		l.giveLocked()
	}
	return context.Cause(ctx)
}

// give gives a permit back, or to the next turn.
func (l *limit) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveLocked()
}

// giveLocked is give with mu held.
func (l *limit) giveLocked() {
	if len(l.lines[l.turn]) == 0 {
		l.turn = 1 - l.turn
	}
	line := &l.lines[l.turn]
	if len(*line) == 0 {
		l.free++
		return
	}
	close((*line)[0].over)
	*line = slices.Delete(*line, 0, 1)
	l.turn = 1 - l.turn
}

// giveLater gives a permit back when the time has passed. It is called after what was permitted has
// happened.
func (l *limit) giveLater() {
	if l != nil {
		time.AfterFunc(l.per, l.give)
	}
}

// end ends all waits with err, and those that come; nil is a new beginning.
func (l *limit) end(err error) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended = err; err == nil {
		return
	}
	for i, line := range l.lines {
		for _, t := range line {
			t.err = err
			close(t.over)
		}
		l.lines[i] = nil
	}
}
