package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// settling is how long a new worker watches before it takes its first rooms and the others
	// hand rooms over to it: when many start together, each room is taken once.
	settling = time.Second
	// sweeping is the interval at which the worker looks for messages to rooms whose notification was
	// lost.
	sweeping = 15 * time.Second
	// askingAtOnce is how many rooms send requests to NATS at the same time, when they are taken and
	// when they look for messages. NATS answers such requests one after the other. Of thousands at
	// once most would time out and be repeated, NATS would be busy with answers that come too late,
	// and renewals of the lease would time out as well. It does not limit how many connections to
	// rooms are being opened.
	askingAtOnce = 64
)

// A tenure is a worker's time under one session. All its state belongs to one goroutine. Work that
// waits for NATS or for a client runs on a goroutine of its own, which posts the result.
type tenure struct {
	view
	w     *Worker
	f     *Fleet
	s     *session
	ctx   context.Context // of held rooms
	me    *member
	deaf  func() // ends answer
	posts chan func()
	quit  chan struct{} // closed when posts is not read any more
	slots chan struct{} // has capacity askingAtOnce
	wakes chan *nats.Msg

	field    field
	touched  []*place
	moved    bool // members or pins have changed
	complete bool // the view has everything
	settled  bool
	draining bool
	leaving  []*place
	mover    *time.Ticker // calls handOver; nil while leaving is empty
	pace     pace
	deadline time.Time // of draining
	busy     int       // claims and releases under way
	working  sync.WaitGroup
	suspects map[string]bool // sessions that lookFor is reading

	spreading bool // spreadLeases is running
}

// tenure holds rooms under a session until it is lost or the worker has drained. It reports whether the
// worker has drained.
func (w *Worker) tenure(ctx context.Context, s *session) (drained bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &tenure{
		view: newView(), w: w, f: w.f, s: s, ctx: ctx,
		posts: make(chan func()), quit: make(chan struct{}), slots: make(chan struct{}, askingAtOnce),
		wakes: make(chan *nats.Msg, 8192), suspects: map[string]bool{},
	}
	keeping, stop := context.WithCancel(ctx)
	kept := make(chan struct{})
	go func() { s.keep(keeping); close(kept) }()
	w.leased.Store(s)
	w.f.log.Info("holds rooms", "worker", w.cfg.name, "session", s.id)

	drained = t.run()

	w.leased.Store(nil)
	w.synced.Store(false)
	t.closeAll(cancel) // before anything that waits for NATS
	stop()
	<-kept
	t.deaf()
	// Other workers take the rooms at once. If the keys cannot be deleted, they run out.
	ending, cancelEnding := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancelEnding()
	if err := s.end(ending); err != nil {
		w.f.log.Warn("the lease is left to run out", "session", s.id, "err", err)
	}
	return drained
}

// run is the loop of the tenure's goroutine.
func (t *tenure) run() (drained bool) {
	watching, unwatch := context.WithCancel(t.ctx)
	defer unwatch()
	changes := t.f.watch(watching, &t.working, t.f.sources("*"))
	settled := time.NewTimer(settling)
	defer settled.Stop()
	sweep := time.NewTicker(sweeping)
	defer sweep.Stop()
	defer t.stopMover()
	t.deaf = t.answer()
	drain := t.w.drained
	var over <-chan time.Time
	for {
		var turns <-chan time.Time
		if t.mover != nil {
			turns = t.mover.C
		}
		select {
		case c := <-changes:
			t.see(c)
		case post := <-t.posts:
			post()
		case <-settled.C:
			t.settled, t.moved = true, true
			t.s.settle()
			t.spread()
			t.sweep()
		case m := <-t.wakes:
			t.wake(m)
		case <-sweep.C:
			t.sweep()
			t.spread()
		case <-turns:
			t.handOver()
		case <-t.s.over:
			t.f.log.Error("rooms are closed, since the lease could not be renewed", "worker", t.w.cfg.name, "rooms", t.holding())
			return false
		case <-drain:
			drain = nil
			t.draining, t.moved = true, true
			t.s.drain()
			timer := time.NewTimer(t.w.cfg.drainTimeout)
			defer timer.Stop()
			over, t.deadline = timer.C, time.Now().Add(t.w.cfg.drainTimeout)
		case <-over:
			t.f.log.Warn("rooms are left that were not handed over in time", "worker", t.w.cfg.name, "rooms", t.holding())
			return true
		}
		t.settle()
		if t.draining && t.busy == 0 && t.holding() == 0 && len(t.leaving) == 0 {
			return true
		}
	}
}

func (t *tenure) holding() (n int) {
	t.w.held.Range(func(any, any) bool { n++; return true })
	return n
}

// post makes the tenure's goroutine call do, unless the tenure is over.
func (t *tenure) post(do func()) {
	select {
	case t.posts <- do:
	case <-t.quit:
	}
}

// see adds a change of one of the buckets to the view.
func (t *tenure) see(c change) {
	switch {
	case c.err != nil:
		t.f.log.Warn("NATS", "err", c.err)
	case c.see == nil:
		t.complete, t.moved = true, true
	default:
		p, members := c.see(&t.view)
		t.moved = t.moved || members
		if p != nil {
			p.best = t.field.best(p)
			t.touch(p)
		}
	}
}

// free reports whether a worker may claim a room that has this claim.
func (t *tenure) free(c claim) bool {
	switch {
	case c.Session == "" || t.gone[c.Session]:
		return true
	case t.members[c.Session] == nil:
		t.lookFor(c.Session)
	}
	return false
}

// lookFor reads the keys of a session that has a claim, and no key that a watcher has reported. A
// watcher does not prove that there is none: it receives keys in the order of their revisions, and may
// miss a living key for long, since each renewal moves that one to the end.
func (t *tenure) lookFor(session string) {
	if t.suspects[session] {
		return
	}
	t.suspects[session] = true
	t.working.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, publishing)
		defer cancel()
		ended, err := t.f.ended(ctx, session)
		if !ended || err != nil { // if the watcher does not report it until then, lookFor is called again
			pause(t.ctx, t.f.settled.renewal())
		}
		t.post(func() {
			delete(t.suspects, session)
			if ended && err == nil {
				t.gone[session] = true
			}
			t.moved = true
		})
	})
}

func (t *tenure) touch(p *place) { t.touched = append(t.touched, p) }

// settle decides about all rooms that have changed.
func (t *tenure) settle() {
	if !t.complete || !t.settled && !t.draining {
		return
	}
	t.w.synced.Store(true)
	t.w.known.Store(int64(t.rooms))
	if t.moved {
		t.moved = false
		t.me = t.members[t.s.id]
		t.field = newField(t.candidates())
		claimed := map[string]bool{}
		for _, p := range t.places {
			p.best = t.field.best(p)
			t.touch(p)
			if t.gone[p.claim.Session] {
				claimed[p.claim.Session] = true
			}
		}
		t.gone = claimed // no claim names the others any more
	}
	for len(t.touched) > 0 {
		list := t.touched
		t.touched = nil
		for _, p := range list {
			t.decide(p)
		}
	}
	t.schedule()
}

// decide starts the next step for a room towards the worker that should hold it.
func (t *tenure) decide(p *place) {
	if p.busy {
		return
	}
	mine := p.claim.Session == t.s.id
	wanted := p.spec != nil && !t.draining && p.best != nil && p.best == t.me
	switch h := p.held; {
	case h != nil && !mine: // impossible while the lease lives
		t.f.log.Error("another worker has claimed a room that this worker holds", "room", p.id, "by", p.claim.Worker)
		t.release(p)
	case h != nil && p.spec == nil:
		t.release(p)
	case h != nil && !wanted:
		t.leave(p)
	case h != nil && h.specRev != p.specRev:
		t.reopen(p)
	case h == nil && wanted && mine:
		t.hold(p)
	case h == nil && mine:
		t.release(p)
	case h == nil && wanted && t.free(p.claim):
		t.take(p)
	case h == nil && p.spec == nil && p.claim.kept:
		if p.best == t.me && p.best != nil && t.free(p.claim) {
			t.forget(p)
		}
	case h == nil && p.spec == nil && p.pin == "":
		delete(t.places, p.token)
	}
}

// begin marks a room as busy and calls work on a goroutine of its own. The tenure's goroutine calls the
// function that work returns.
func (t *tenure) begin(p *place, work func() (end func())) {
	p.busy = true
	t.busy++
	t.working.Go(func() {
		end := work()
		t.post(func() {
			p.busy = false
			t.busy--
			end()
			t.touch(p)
		})
	})
}

// turn waits until a room may send a request to NATS. The caller must call done after the request. While
// the lease is renewed late, turn waits: more requests would delay the renewals further.
func (t *tenure) turn(ctx context.Context) (done func(), err error) {
	for t.s.left() < t.f.settled.Lease/2 && ctx.Err() == nil {
		pause(ctx, t.f.settled.renewal())
	}
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hold starts a holding for a room that this worker has claimed.
func (t *tenure) hold(p *place) {
	h := newHolding(t, p)
	p.held = h
	t.w.held.Store(p.token, h)
	t.w.counters.taken.Add(1)
	go h.run()
	t.touch(p) // the spec may have changed meanwhile
}

// reopen closes a room, and holds it again with its new spec.
func (t *tenure) reopen(p *place) {
	h := p.held
	t.begin(p, func() func() {
		h.close()
		return func() { t.letGo(p) }
	})
}

func (t *tenure) letGo(p *place) {
	p.held = nil
	t.w.held.Delete(p.token)
}

// leave adds a room to those that wait to be handed over.
func (t *tenure) leave(p *place) {
	if !p.leaving {
		p.leaving = true
		t.leaving = append(t.leaving, p)
	}
}

// handOver hands over the rooms that are due. The rate depends on what is left now, and on the time that
// is left.
func (t *tenure) handOver() {
	rate := t.w.cfg.moveRate
	if t.draining {
		rate = max(rate, drainRate(len(t.leaving), time.Until(t.deadline), t.w.cfg.drainTimeout))
	}
	for t.pace.tick(time.Now(), rate); t.pace.due >= 1 && len(t.leaving) > 0; {
		p := t.leaving[0]
		t.leaving = t.leaving[1:]
		p.leaving = false
		if p.held != nil && !p.busy && (t.draining || p.best != t.me) {
			t.release(p)
			t.pace.due--
		}
	}
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

// release closes a room and gives up the claim on it.
func (t *tenure) release(p *place) {
	h, rev, mine := p.held, p.claim.rev, p.claim.Session == t.s.id
	t.w.counters.released.Add(1)
	t.begin(p, func() func() {
		if h != nil {
			h.close()
		}
		var freed uint64
		if mine {
			freed = t.giveUp(p.token, rev)
		}
		return func() {
			t.letGo(p)
			// If the answer was lost, the release may still arrive. The worker must not use the claim
			// again: only another claim makes a late release fail.
			if mine && p.claim.rev <= max(rev, freed) {
				p.claim = claim{rev: max(rev, freed), kept: true}
			}
		}
	})
}

// closeAll closes all held rooms at once, and waits until they are closed.
func (t *tenure) closeAll(cancel func()) {
	close(t.quit)
	t.w.held.Range(func(_, h any) bool {
		t.working.Go(h.(*holding).close)
		return true
	})
	cancel()
	t.working.Wait()
	t.w.held.Clear()
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
