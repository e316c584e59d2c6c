package liveroom

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

// The limit on joins of [Rooms] has two parts. A room waits for its turn before it dials, so that
// nothing of it is at the server while others are before it: no handshake of a stampede, and no
// connection that the server would end because it does not join. And it waits for a permit right
// before it sends the join, since connections that were dialed one after the other may still be
// ready at the same moment; this wait is short, and without it the limit would not hold.

// turns is what a room has to do with both.
type turns struct {
	of         *Rooms // nil: there is no limit
	dial, join place  // used by the attempt only

	mu      sync.Mutex
	waiting bool
	until   time.Time // when the last wait ended
}

// giveJoin gives a permit to join back when a second has passed. A nil rs has no limit.
func (rs *Rooms) giveJoin() {
	if rs != nil {
		rs.joins.giveLater()
	}
}

// wait takes a permit of a limit.
func (t *turns) wait(ctx context.Context, l *limit, p *place, failed bool) error {
	t.mu.Lock()
	t.waiting = true
	t.mu.Unlock()
	err := l.take(ctx, p, failed)
	t.mu.Lock()
	t.waiting, t.until = false, time.Now()
	t.mu.Unlock()
	return err
}

// beforeConnect waits for the room's turn to dial.
func (r *Room) beforeConnect(ctx context.Context, attempt int) error {
	err := r.turns.wait(ctx, r.turns.of.dials, &r.turns.dial, attempt > 1)
	if err == nil {
		r.turns.of.dials.giveLater()
	}
	return err
}

// awaitJoin waits for a permit to join. Those that ask for another join wait behind others, as those
// that have failed do.
func (r *Room) awaitJoin(ctx context.Context, attempt int) error {
	if r.turns.of == nil {
		return nil
	}
	r.mu.Lock()
	another := r.answered > 0
	r.mu.Unlock()
	return r.turns.wait(ctx, r.turns.of.joins, &r.turns.join, attempt > 1 || another)
}

// excused returns the end of the wait for a turn if it is later than at: it counts against no
// timeout.
func (r *Room) excused(at time.Time) time.Time {
	r.turns.mu.Lock()
	defer r.turns.mu.Unlock()
	switch {
	case r.turns.waiting:
		return time.Now()
	case r.turns.until.After(at):
		return r.turns.until
	}
	return at
}

// An again answers the inits that the server sends while a connection is open, with another join. A
// flood of them is answered one at a time.
type again struct {
	ctx     context.Context // ends with the connection, at the latest before the next one is open
	end     context.CancelFunc
	pending atomic.Bool // there is a goroutine of joinAgain
}

func newAgain() *again {
	ctx, end := context.WithCancel(context.Background())
	return &again{ctx: ctx, end: end}
}

// joinAgain sends another join on the connection of a, behind those of the rooms that are not joined.
func (r *Room) joinAgain(a *again) {
	defer a.pending.Store(false)
	if rs := r.turns.of; rs != nil {
		if rs.joins.take(a.ctx, new(place), true) != nil {
			return
		}
		defer rs.joins.giveLater()
	}
	_ = r.send(a.ctx, &action{room: r, make: r.joinCommand}, wechatws.FailFast())
}

func (t *turns) isWaiting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}
