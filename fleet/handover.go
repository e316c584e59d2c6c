package fleet

import (
	"time"

	"github.com/wechatws/wechatws/fleet/internal/decision"
)

// to returns the worker that should hold a room, or nil.
func (t *tenure) to(s *shard, l *listing) *member {
	if l.record != nil {
		if m := t.field.byName[l.record.Pin]; m != nil {
			return m
		}
	}
	return s.best
}

// passing returns the rooms of a shard that this worker holds by the claim and another one should hold,
// and whether it should pass the shard itself on when it has passed these.
func (t *tenure) passing(s *shard) (rooms []*listing, whole bool) {
	if s.stage() < decision.TooMany || s.best == nil && !t.draining {
		return nil, false
	}
	for _, l := range s.rooms {
		if t.known(s, l).Passes() {
			rooms = append(rooms, l)
		}
	}
	return rooms, s.claim.Session == t.s.id && s.best != t.me
}

// leave adds a shard to those of which rooms wait to be handed over, or passes it on at once if this
// worker holds none of its rooms.
func (t *tenure) leave(s *shard) {
	rooms, whole := t.passing(s)
	switch {
	case len(rooms) > 0:
		if !s.leaving {
			s.leaving = true
			t.leaving = append(t.leaving, s)
		}
	case whole:
		t.pass(s, nil, true)
	}
}

// handOver hands over the rooms that are due. The rate depends on what is left now, and on the time that
// is left. Rooms of one shard move one after the other, or a sixteenth of them at a time, and the last
// ones take the shard along; a shard that no worker should hold is given up as a whole.
func (t *tenure) handOver() {
	rate := t.w.cfg.moveRate
	if t.draining {
		rate = max(rate, drainRate(t.holding(), time.Until(t.deadline), t.w.cfg.drainTimeout))
	}
	t.pace.tick(time.Now(), rate)
	waiting := t.leaving
	var later []*shard
	for len(waiting) > 0 && t.pace.due >= 1 {
		s := waiting[0]
		waiting = waiting[1:]
		rooms, whole := t.passing(s)
		if len(rooms) == 0 {
			s.leaving = false
			t.touch(s)
			continue
		}
		if !s.busy {
			n := max(1, len(rooms)/16)
			if s.best == nil {
				n = len(rooms)
			}
			t.pace.due -= float64(n)
			t.pass(s, rooms[:n], whole && n == len(rooms))
		}
		later = append(later, s)
	}
	t.leaving = append(waiting, later...)
}

// schedule starts and stops handing over.
func (t *tenure) schedule() {
	switch {
	case len(t.leaving) == 0:
		t.stopMover()
	case t.mover == nil:
		t.mover, t.pace = time.NewTicker(pacing), pace{at: time.Now()}
	}
}

func (t *tenure) stopMover() {
	if t.mover != nil {
		t.mover.Stop()
		t.mover = nil
	}
}

// pass closes rooms and makes those workers hold them that should, and if whole is true the shard as well.
func (t *tenure) pass(s *shard, rooms []*listing, whole bool) {
	now := time.Now().UTC()
	h := s.claim.hold
	if whole {
		if h = (hold{}); s.best != nil {
			h = hold{s.best.session, now}
		}
	}
	next := s.claim.next(h)
	if whole { // rooms that were moved to this worker stay
		for token, l := range s.rooms {
			if l.held != nil {
				next.Apart[token] = hold{t.s.id, l.held.since.UTC()}
			}
		}
	}
	var held []*holding
	for _, l := range rooms {
		if to := t.to(s, l); l.record != nil && to != nil && to.session != h.Session {
			next.Apart[l.token] = hold{to.session, now}
		} else {
			delete(next.Apart, l.token)
		}
		if l.held != nil {
			held = append(held, l.held)
		}
	}
	t.w.counters.released.Add(int64(len(held)))
	rev, lane, grace := s.claim.rev, s.part.lane, t.grace()
	t.begin(s, &s.busy, func() func() {
		var err error
		if decision.Marks(false, seal(t.ctx, lane, held, grace)) {
			err = lane.renew(t.ctx, rev)
		}
		var c claim
		if err == nil {
			c, _ = t.write(s.n, next, rev) // fails when the lease is lost
		}
		return func() {
			for _, l := range rooms {
				t.letGo(s, l)
			}
			s.learn(c)
		}
	})
}
