package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws/fleet/internal/decision"
)

const (
	// settling is how long a new worker watches before it takes its first rooms and the others
	// hand rooms over to it: when many start together, each room is taken once.
	settling = time.Second
	// merging is the least time between two placements of all shards: when many workers start or stop, each
	// changes its value several times.
	merging = 100 * time.Millisecond
	// sweeping is the interval at which the worker looks for messages to rooms whose notification was
	// lost.
	sweeping = 15 * time.Second
	// askingAtOnce is how many shards and rooms send requests to NATS at the same time, when they are
	// taken and when they look for messages. NATS answers such requests one after the other. Of thousands at
	// once most would time out and be repeated, NATS would be busy with answers that come too late,
	// and renewals of the lease would time out as well. It does not limit how many connections to
	// rooms are being opened.
	askingAtOnce = 64
)

// A tenure is a worker's time under one session. All its state belongs to one goroutine. Work that
// waits for NATS or for a client runs on a goroutine of its own, which posts the result.
type tenure struct {
	view
	w       *Worker
	f       *Fleet
	s       *session
	ctx     context.Context // of held rooms
	me      *member
	deaf    func() // ends answer
	posts   chan func()
	quit    chan struct{}  // closed when posts is not read any more
	slots   chan struct{}  // has capacity askingAtOnce
	notices chan *nats.Msg // of held shards

	field    field
	touched  []*shard
	moved    bool // members have changed since placed
	placed   time.Time
	place    *time.Timer // calls settle, if that has put off a placement
	complete bool        // the view has everything
	settled  bool
	draining bool
	leaving  []*shard     // those of which rooms wait to be handed over
	mover    *time.Ticker // calls handOver; nil while leaving is empty
	pace     pace
	deadline time.Time // of draining
	busy     int       // shards and rooms of which work is under way
	working  sync.WaitGroup
	suspects map[string]bool // sessions that lookFor is reading

	spreading bool      // spreadLeases is running
	full      bool      // it takes no more shards: see WithMaxRooms
	fullUntil time.Time // at least
	rereading bool      // shards are being read again
	readAt    uint64    // the highest revision that rooms were read at
	warned    time.Time // of an error of a watch
	outMade   time.Time // when the stream of messages to rooms was made
	sweepAt   time.Time // beside the sweeps at intervals; zero: not
}

// tenure holds rooms under a session until it is lost or the worker has drained. It reports whether the
// worker has drained.
func (w *Worker) tenure(ctx context.Context, s *session) (drained bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &tenure{
		view: newView(), w: w, f: w.f, s: s, ctx: ctx,
		posts: make(chan func()), quit: make(chan struct{}), slots: make(chan struct{}, askingAtOnce),
		notices: make(chan *nats.Msg, 8192), suspects: map[string]bool{}, place: time.NewTimer(merging),
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
	changes := t.f.watch(watching, &t.working, t.f.sources(claimPrefix+"*"))
	settled := time.NewTimer(settling)
	defer settled.Stop()
	defer t.place.Stop()
	sweep := time.NewTicker(sweeping)
	defer sweep.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
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
		case <-t.place.C:
		case <-settled.C:
			t.settled, t.moved = true, true
			t.s.settle()
			t.spread()
			t.sweep()
		case m := <-t.notices:
			t.notice(m)
		case <-second.C:
			t.fill()
			t.reread()
			if at := t.sweepAt; !at.IsZero() && time.Now().After(at) {
				t.sweepAt = time.Time{}
				t.sweep()
			}
		case <-sweep.C:
			t.sweep()
			t.spread()
			t.forget()
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
		if t.draining && t.busy == 0 && t.w.shards.Load() == 0 {
			return true
		}
	}
}

// holding returns the number of held rooms.
func (t *tenure) holding() int { return int(t.w.rooms.Load()) }

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
		if now := time.Now(); now.Sub(t.warned) > 10*time.Second { // each watch tries again four times a second
			t.warned = now
			t.f.log.Warn("NATS", "err", c.err)
		}
	case c.see == nil:
		t.complete, t.moved = true, true
	default:
		s, members := c.see(&t.view)
		t.moved = t.moved || members
		if s != nil {
			t.touch(s)
		}
	}
}

// life returns what is known of a session.
func (t *tenure) life(session string) decision.Life {
	switch {
	case session == "" || t.ended(session):
		return decision.Ended
	case t.members[session] == nil:
		return decision.Unknown
	}
	return decision.Lives
}

// others calls yield with the holder of a shard, or, if this worker holds it, with those that hold rooms of it.
func (t *tenure) others(s *shard, yield func(session string)) {
	if s.claim.Session != t.s.id {
		yield(s.claim.Session)
		return
	}
	for _, h := range s.claim.Apart {
		if h.Session != t.s.id {
			yield(h.Session)
		}
	}
}

// lookFor reads the keys of a session that has a claim, and no key that a watcher has reported. A
// watcher does not prove that there is none: it receives keys in the order of their revisions, and may
// miss a living key for long, since each renewal moves that one to the end.
func (t *tenure) lookFor(session string) {
	if t.suspects[session] || t.life(session) != decision.Unknown {
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
				t.gone[session] = time.Now()
			}
			t.moved = true
		})
	})
}

func (t *tenure) touch(s *shard) { t.touched = append(t.touched, s) }

// settle decides about all shards that have changed. If members have changed that is about all shards, some
// time later if that was done just now, and about no room of a shard of which this worker holds none.
func (t *tenure) settle() {
	if !t.complete || !t.settled && !t.draining {
		return
	}
	t.w.synced.Store(true)
	if wait := merging - time.Since(t.placed); t.moved && wait > 0 {
		t.place.Reset(wait)
	} else if t.moved {
		t.moved, t.placed = false, time.Now()
		t.me = t.members[t.s.id]
		t.field = newField(t.candidates())
		for _, s := range t.shards {
			t.touch(s)
		}
	}
	for len(t.touched) > 0 {
		list := t.touched
		t.touched = nil
		for _, s := range list {
			t.decide(s)
		}
	}
	t.fill()
	t.schedule()
}

// decide starts the next step for a shard towards the workers that should hold it and its rooms.
func (t *tenure) decide(s *shard) {
	if unheld := t.members[s.claim.Session] == nil && s.claim.rev > 0; unheld != s.unheld {
		if s.unheld = unheld; unheld {
			t.w.unheld.Add(1)
		} else {
			t.w.unheld.Add(-1)
		}
	}
	if s.busy {
		return
	}
	s.best = t.field.best(s)
	known := decision.Shard{
		Claim: s.claim.state, Mine: s.claim.Session == t.s.id, Names: s.claim.names(t.s.id), Stage: s.stage(),
		Wanted: s.best == t.me && t.me != nil && !t.draining && !t.full,
	}
	t.others(s, func(session string) { known.Others = max(known.Others, t.life(session)) })
	if known.Asks() {
		t.others(s, t.lookFor)
	}
	switch known.Next() {
	case decision.Wait:
		t.wait(s)
	case decision.Take:
		t.take(s)
	case decision.Exit:
		if t.closed(s) {
			t.exit(s)
		}
	case decision.Enter:
		t.enter(s)
	case decision.Refuse:
		if s.best = t.field.free.best(s); s.best == t.me {
			s.best = nil
		}
		t.pass(s, nil, true)
	case decision.Rooms:
		for token, h := range s.claim.Apart {
			if h.Session == t.s.id {
				s.room(token) // also of a room that was removed
			}
		}
		for _, l := range s.rooms {
			if l.busy {
				continue
			}
			switch t.known(s, l).Next() {
			case decision.Close:
				t.close(s, l) // and holds it again if it has another spec
			case decision.Hold:
				t.hold(s, l)
			}
		}
		t.leave(s)
	}
}

// known returns what this worker knows of a room of a shard of which it holds rooms.
func (t *tenure) known(s *shard, l *listing) decision.Room {
	_, apart := s.claim.Apart[l.token]
	return decision.Room{
		Mine: s.claim.of(l.token).Session == t.s.id, Apart: apart, Exists: l.record != nil,
		Here: t.to(s, l) == t.me && t.me != nil, Drains: t.draining,
		Held: l.held != nil, Current: l.held != nil && l.record != nil && l.held.change == l.record.Change,
	}
}

// closed closes all rooms of a shard, and reports whether all are closed.
func (t *tenure) closed(s *shard) bool {
	all := true
	for _, l := range s.rooms {
		if l.held != nil && !l.busy { // impossible while the lease lives
			t.f.log.Error("another worker has claimed a room that this worker holds", "room", l.id, "by", s.claim.of(l.token).Session)
			t.close(s, l)
		}
		all = all && l.held == nil
	}
	return all
}

// begin marks a shard or a room of it as busy and calls work on a goroutine of its own. The tenure's
// goroutine calls the function that work returns.
func (t *tenure) begin(s *shard, busy *bool, work func() (end func())) {
	*busy = true
	t.busy++
	t.working.Go(func() {
		end := work()
		t.post(func() {
			*busy = false
			t.busy--
			end()
			t.touch(s)
		})
	})
}

// calm waits until at least that much of the lease is left. With less, renewals are late, and what the worker
// does beside them would delay them further.
func (t *tenure) calm(ctx context.Context, least time.Duration) error {
	for t.s.left() < least && ctx.Err() == nil {
		pause(ctx, t.f.settled.renewal())
	}
	return ctx.Err()
}

// turn waits until a shard or a room may send a request to NATS. The caller must call done after the request.
func (t *tenure) turn(ctx context.Context) (done func(), err error) {
	if err := t.calm(ctx, t.f.settled.Lease/2); err != nil {
		return nil, err
	}
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hold starts a holding for a room that this worker has got.
func (t *tenure) hold(s *shard, l *listing) {
	h := newHolding(t, s, l)
	l.held = h
	t.w.held.Store(l.token, h)
	t.w.rooms.Add(1)
	t.w.counters.taken.Add(1)
	go h.run()
}

// close closes a room.
func (t *tenure) close(s *shard, l *listing) {
	h := l.held
	if l.record == nil {
		t.w.counters.released.Add(1)
	}
	grace := t.grace()
	t.begin(s, &l.busy, func() func() {
		unsettled := seal(t.ctx, h.lane, []*holding{h}, grace)
		return func() {
			t.letGo(s, l)
			s.force = decision.Marks(s.force, unsettled) // before the next holding publishes anything
		}
	})
}

func (t *tenure) letGo(s *shard, l *listing) {
	if l.held != nil {
		l.held, s.part.mail = nil, true // the next holding delivers what this one has not
		t.w.held.Delete(l.token)
		t.w.rooms.Add(-1)
	}
}

// closeAll closes all held rooms at once, and waits until they are closed.
func (t *tenure) closeAll(cancel func()) {
	close(t.quit)
	t.w.held.Range(func(_, h any) bool {
		t.working.Go(func() { h.(*holding).close(0) })
		return true
	})
	cancel()
	t.working.Wait()
	for _, s := range t.shards {
		if s.part != nil {
			t.exit(s)
		}
	}
	t.w.held.Clear()
	t.w.rooms.Store(0)
	t.w.unheld.Store(0)
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
