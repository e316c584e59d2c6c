package fleet

import (
	"context"
	"sync"
	"time"
)

const (
	// dialsAtOnce is how many rooms are being connected to at the same time: thousands of dials at once
	// would leave little processor for the renewals of the lease.
	dialsAtOnce = 64
	// slowDial is after how long a room that is being connected to does not count any more.
	slowDial = 5 * time.Second
	// fullFor is for how long a worker takes no shards after one that had too many rooms for it.
	fullFor = time.Minute
)

// An appetite bounds how fast a worker connects to rooms.
type appetite struct {
	dialing chan struct{} // has capacity dialsAtOnce
	rate    float64       // rooms a second

	mu   sync.Mutex
	next time.Time // when the next room may be connected to
}

// admit waits until a room may be connected to, and calls calm before it returns. The caller must call done
// when it is connected or has failed; later calls of done do nothing.
func (a *appetite) admit(ctx context.Context, calm func(context.Context) error) (done func(), err error) {
	select {
	case a.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave := sync.OnceFunc(func() { <-a.dialing })
	// A moment is reserved only now: rooms that are given up before have none, which others would wait for.
	a.mu.Lock()
	now := time.Now()
	at := later(a.next, now)
	a.next = at.Add(time.Duration(min(float64(time.Second)/a.rate, float64(time.Hour))))
	a.mu.Unlock()
	if at.After(now) {
		pause(ctx, at.Sub(now))
	}
	if err := calm(ctx); err != nil {
		leave()
		return nil, err
	}
	timer := time.AfterFunc(slowDial, leave)
	return func() {
		timer.Stop()
		leave()
	}, nil
}

// fits reports whether the worker may hold the rooms of a shard that it has just got. If not, it is full.
func (t *tenure) fits(s *shard) bool {
	most := t.w.cfg.maxRooms
	if most == 0 || t.holding()+len(s.rooms) <= most {
		return true
	}
	t.fullUntil = time.Now().Add(fullFor)
	t.fill()
	t.f.log.Warn("a shard has more rooms than this worker may hold", "shard", s.n, "rooms", len(s.rooms), "held", t.holding(), "most", most)
	return false
}

// fill makes other workers take shards in place of this one while it is full.
func (t *tenure) fill() {
	most, rooms := t.w.cfg.maxRooms, t.holding()
	full := most > 0 && (rooms >= most || t.full && rooms > most*7/8 || time.Now().Before(t.fullUntil))
	if full != t.full {
		t.full = full
		t.s.change(func(m *member) { m.Full = full })
	}
}
