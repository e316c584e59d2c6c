package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// settling is how long a new worker looks before it takes its first rooms, and the others
	// hand any over to it: when many start together, each room is taken once.
	settling = time.Second
	// sweeping is how often messages to rooms are looked for whose notification was lost.
	sweeping = 15 * time.Second
	// askingAtOnce is how many rooms ask NATS for something at the same time, when they are
	// taken and when they look for messages. NATS answers such questions one after the
	// other: thousands at once would all come too late, be asked again, and keep it
	// busy for ever with answers that have come too late; and the lease's renewal with them.
	// It does not bound connections being opened.
	askingAtOnce = 64
)

// A tenure is a worker's time under one session. All its state belongs to one goroutine;
// what waits for NATS or for a client does so in a goroutine of its own, and posts what
// has come of it.
type tenure struct {
	view
	w     *Worker
	f     *Fleet
	s     *session
	ctx   context.Context // of rooms that are held
	me    *member
	deaf  func() // ends answering
	posts chan func()
	quit  chan struct{} // closed when posts are not taken any more
	slots chan struct{} // askingAtOnce
	wakes chan *nats.Msg

	field    field
	touched  []*place
	moved    bool // members or pins have changed
	complete bool // the view is
	settled  bool
	draining bool
	leaving  []*place
	mover    *time.Ticker // its turns; nil while nothing is leaving
	busy     int          // claims and releases under way
	working  sync.WaitGroup
	suspects map[string]bool // sessions that are being looked for

	spreading bool // leaders are being looked at
}

// tenure holds rooms under a session until it is lost, or the worker has drained, which it
// reports.
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
	t.closeAll(cancel) // before anything that NATS could keep waiting
	stop()
	<-kept
	t.deaf()
	// Other workers need not wait for a lease whose rooms are closed. If it cannot be ended, its
	// time runs out.
	ending, cancelEnding := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancelEnding()
	if err := s.end(ending); err != nil {
		w.f.log.Warn("the lease is left to run out", "session", s.id, "err", err)
	}
	return drained
}

// run is the loop.
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
	var deadline <-chan time.Time
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
			deadline = timer.C
		case <-deadline:
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

// post has do called on the tenure's goroutine, unless it is over.
func (t *tenure) post(do func()) {
	select {
	case t.posts <- do:
	case <-t.quit:
	}
}

// see takes what one of the buckets tells.
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

// free reports whether a claim does not keep workers from a room.
func (t *tenure) free(c claim) bool {
	switch {
	case c.Session == "" || t.gone[c.Session]:
		return true
	case t.members[c.Session] == nil:
		t.lookFor(c.Session)
	}
	return false
}

// lookFor finds out about a session that has a claim and no key that a watcher has told of. A
// watcher does not know: it may pass over a living key for long, since it is told of keys as they
// are, and this one is always about to be renewed.
func (t *tenure) lookFor(session string) {
	if t.suspects[session] {
		return
	}
	t.suspects[session] = true
	t.working.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, publishing)
		defer cancel()
		ended, err := t.f.ended(ctx, session)
		if !ended || err != nil { // it is looked for again if the watcher does not tell
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

// settle decides about all rooms of which something has changed.
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
		t.gone = claimed // the others will not be asked for
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

// decide does the next step that brings a room to where it belongs.
func (t *tenure) decide(p *place) {
	if p.busy {
		return
	}
	mine := p.claim.Session == t.s.id
	wanted := p.spec != nil && !t.draining && p.best != nil && p.best == t.me
	switch h := p.held; {
	case h != nil && !mine: // cannot be, as long as our lease lives
		t.f.log.Error("another worker has claimed a room of ours", "room", p.id, "by", p.claim.Worker)
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

// begin marks a room as being worked on, in a goroutine of its own; end is called
// on ours with what has come of it.
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

// turn waits until a room may ask NATS for something. Whoever has a turn calls done. While the
// lease is renewed late, nobody has one: with what it would set off, less would be left for
// the renewals.
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

// take claims a room.
func (t *tenure) take(p *place) {
	rev := p.claim.rev
	c := claim{Session: t.s.id, Worker: t.w.cfg.name, Since: time.Now().UTC()}
	t.begin(p, func() func() {
		done, err := t.turn(t.ctx)
		if err != nil {
			return func() {}
		}
		defer done()
		fence, err := t.putClaim(p.token, c, rev)
		if c.rev, c.kept = fence, true; isWrongRevision(err) {
			c, err = t.findClaim(p.token)
		}
		if err != nil {
			pause(t.ctx, 500*time.Millisecond)
			return func() {}
		}
		return func() {
			if c.rev >= p.claim.rev || c.rev == 0 {
				p.claim = c
			}
		}
	})
}

// findClaim reads a claim, of which the watcher has not told yet, or whose end it told
// before the room was there again.
func (t *tenure) findClaim(token string) (c claim, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.f.settled.patience())
	defer cancel()
	m, err := t.f.lastInBucket(ctx, t.f.claims, token)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, err
	}
	if c.kept = len(m.Data) > 0; c.kept {
		_ = json.Unmarshal(m.Data, &c)
	}
	c.rev = m.Seq
	return c, nil
}

func (t *tenure) putClaim(token string, c claim, rev uint64) (uint64, error) {
	value, err := json.Marshal(c)
	if err != nil {
		return 0, err
	}
	if err := t.s.guard(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.f.settled.patience())
	defer cancel()
	return t.f.putKey(ctx, t.f.claims, token, value, rev, 0)
}

// hold begins to hold a room that is claimed.
func (t *tenure) hold(p *place) {
	h := newHolding(t, p)
	p.held = h
	t.w.held.Store(p.token, h)
	t.w.counters.taken.Add(1)
	go h.run()
	t.touch(p) // the spec may have changed meanwhile
}

// reopen holds a room afresh, with its new spec.
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

// leave has a room wait for its turn to be handed over.
func (t *tenure) leave(p *place) {
	if !p.leaving {
		p.leaving = true
		t.leaving = append(t.leaving, p)
	}
}

// handOver takes one turn.
func (t *tenure) handOver() {
	for len(t.leaving) > 0 {
		p := t.leaving[0]
		t.leaving = t.leaving[1:]
		p.leaving = false
		if p.held != nil && !p.busy && (t.draining || p.best != t.me) {
			t.release(p)
			return
		}
	}
}

// schedule sets the pace of handing over.
func (t *tenure) schedule() {
	if len(t.leaving) == 0 {
		t.stopMover()
		return
	}
	if t.mover == nil {
		rate := t.w.cfg.moveRate
		if t.draining {
			rate = max(rate, 1.5*float64(len(t.leaving))/t.w.cfg.drainTimeout.Seconds())
		}
		t.mover = time.NewTicker(interval(rate))
	}
}

// interval is the time between two rooms at a rate of so many a second. A quotient that is
// too large for a Duration would become negative.
func interval(rate float64) time.Duration {
	const most = 1 << 62
	return max(time.Microsecond, time.Duration(min(float64(time.Second)/rate, most)))
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
			// Also when it is not known what has come of it, the claim is used up: only
			// another one makes a release void that is on its way still.
			if mine && p.claim.rev <= max(rev, freed) {
				p.claim = claim{rev: max(rev, freed), kept: true}
			}
		}
	})
}

// forget removes the claim on a room that is there no more, which no worker holds.
func (t *tenure) forget(p *place) {
	rev := p.claim.rev
	t.begin(p, func() func() {
		ctx, cancel := context.WithTimeout(t.ctx, t.f.settled.patience())
		defer cancel()
		if err := t.f.forget(ctx, t.f.claims, p.token, rev); err != nil {
			pause(t.ctx, 500*time.Millisecond) // perhaps the watcher tells why
			return func() {}
		}
		return func() {
			if p.claim.rev == rev {
				p.claim.kept = false
			}
		}
	})
}

// giveUp frees a claim and returns its revision. It goes on trying, for as long as there is
// a lease: with that the claim ends as well.
func (t *tenure) giveUp(token string, rev uint64) uint64 {
	for t.ctx.Err() == nil {
		freed, err := t.putClaim(token, claim{}, rev)
		switch {
		case err == nil:
			return freed
		case errors.Is(err, ErrLeaseLost):
			return 0
		}
		pause(t.ctx, 200*time.Millisecond)
		if isWrongRevision(err) { // it is done, and the watcher will tell
			return 0
		}
	}
	return 0
}

// closeAll closes what is held, all at once, and waits for it.
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

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
