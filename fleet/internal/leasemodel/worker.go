package leasemodel

import "github.com/wechatws/wechatws/fleet/internal/decision"

// shard returns what a worker that has a session knows of the shard. Placement is left out: each worker may
// want it, or not want it any more, at any time.
func (m *Model) shard(s *State, w int, wanted bool) decision.Shard {
	me := &s.Workers[w]
	mine := me.View.By == s.session(w)
	d := decision.Shard{Claim: decision.Valid, Mine: mine, Names: mine, Wanted: wanted, Stage: decision.Ready}
	switch {
	case mine:
	case me.View.By == noHolder || me.Gone || m.UnknownIsDead:
		d.Others = decision.Ended
	default:
		d.Others = decision.Unknown
	}
	switch {
	case me.Phase == None:
		d.Stage = decision.Outside
	case m.Stream && !m.NoFence && decision.Marks(!me.Marked && !m.OpenUnmarked, me.Unknown && !m.HandOverUnknown):
		d.Stage = decision.Unready
	}
	return d
}

// room returns what a worker that has a session knows of the room.
func (m *Model) room(s *State, w int, here bool) decision.Room {
	me := &s.Workers[w]
	return decision.Room{Mine: me.View.By == s.session(w), Exists: true, Current: true, Held: me.Phase == Open, Here: here}
}

// begin starts a worker, or its next session after one that was lost. The first put of a session is one
// action: a worker that receives no answer uses another session.
func (m *Model) begin(s State, w int, emit emit) {
	me := &s.Workers[w]
	if me.Session || me.Begun == m.Sessions[w] || me.Phase == Open && !m.BeginBeforeClose {
		return
	}
	me.Begun++
	me.Up, me.Session = true, true
	s.Keys[s.session(w)-1] = Key{Life: Alive, Left: m.life()}
	me.Knows, me.Lease = true, m.T
	emit(Step{Rule: "start", Does: "begins a session", Worker: w}, s)
}

// rule1Renew sends a renewal. If it counts, the lease begins now.
func (m *Model) rule1Renew(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Clocks || !me.Session || s.awaits(w, Renew) {
		return
	}
	if !me.Knows && !m.RenewResurrects {
		return // the renewal would fail; see rule8Read
	}
	if m.send(&s, w, Message{Kind: Renew, Of: s.session(w), Left: m.T}) {
		emit(Step{Rule: "1", Does: "sends a renewal of its session", Worker: w}, s)
	}
}

// counts reports whether a worker counts a renewal whose answer comes now: not if its lease has run out.
func (m *Model) counts(me *Worker) bool { return m.guarded(me.Lease) || m.RenewResurrects }

// rule2Close closes the client, at the latest when the lease has run out. (How late a worker can be
// depends on World.Pauses.)
func (m *Model) rule2Close(s State, w int, emit emit) {
	me := &s.Workers[w]
	if me.Phase != Open {
		return
	}
	me.Phase, me.Checked = Claimed, false
	if !me.Session {
		me.Phase = None
	}
	emit(Step{Rule: "2", Does: "closes its client", Worker: w}, s)
}

// rule2Check calls the guard before a write.
func (m *Model) rule2Check(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Writes || me.Phase != Open || me.Checked || !m.guarded(me.Lease) {
		return
	}
	me.Checked = true
	emit(Step{Rule: "2", Does: "asks the guard, which says yes", Worker: w}, s)
}

// rule2Write writes to the socket after the guard has permitted it.
func (m *Model) rule2Write(s State, w int, emit emit) {
	me, other := &s.Workers[w], &s.Workers[1-w]
	if !me.Checked {
		return
	}
	me.Checked = false
	if other.Phase == Open && s.Room.By != s.session(w) {
		s.Broken = LateWrite
	}
	emit(Step{Rule: "2", Does: "writes to the room", Worker: w}, s)
}

// rule3Claim sends a claim by compare-and-set on the claim that the worker has seen. (If it has seen no claim,
// it expects that there is none.)
func (m *Model) rule3Claim(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || !m.leased(me.Lease) || s.awaits(w, Take, Free) || m.shard(&s, w, true).Next() != decision.Take {
		return
	}
	if m.send(&s, w, Message{Kind: Take, Of: s.session(w), Expect: me.View.Rev}) {
		emit(Step{Rule: "3", Does: "sends a claim for the room", Worker: w}, s)
	}
}

// rule3Read reads the session that holds the room. If it does not exist it is dead: it has existed, since
// it has made its claim, and it does not come back. No other event proves to a worker that a session is
// dead. The watch on the sessions only makes a worker read, which it may do here at any time. So that
// watch is not in the model.
func (m *Model) rule3Read(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || !m.shard(&s, w, true).Asks() || s.Keys[me.View.By-1].Life != Dead {
		return
	}
	me.Gone = true
	emit(Step{Rule: "3", Does: "reads the holder's session: it is gone", Worker: w}, s)
}

// rule5Open opens the client.
func (m *Model) rule5Open(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || me.Phase != Claimed || !m.leased(me.Lease) || s.awaits(w, Mark) && !m.OpenUnmarked ||
		m.shard(&s, w, true).Next() != decision.Rooms || m.room(&s, w, true).Next() != decision.Hold {
		return
	}
	me.Phase = Open
	emit(Step{Rule: "5", Does: "opens its client", Worker: w}, s)
}

// rule6Release sends a release, or hands the room over to the other worker. From now on the worker does
// nothing under this fence any more: the release may arrive at any time, also after the worker has stopped
// waiting for the answer.
func (m *Model) rule6Release(s State, w int, emit emit) {
	me, other := &s.Workers[w], &s.Workers[1-w]
	if !me.Session || s.awaits(w, Take, Free, Mark) || s.awaits(w, Publish) && !m.HandOverUnknown ||
		m.shard(&s, w, false).Next() != decision.Rooms || !m.room(&s, w, false).Passes() {
		return
	}
	switch {
	case me.Phase == Claimed || me.Phase == Released:
	case me.Phase == Open && m.ReleaseBeforeClose:
	default:
		return
	}
	release := func(does string, to Holder) {
		next := s
		if me := &next.Workers[w]; me.Phase == Claimed {
			me.Phase = Released
		}
		if m.send(&next, w, Message{Kind: Free, Of: s.session(w), To: to, Expect: me.View.Rev}) {
			emit(Step{Rule: "6", Does: does, Worker: w}, next)
		}
	}
	release("sends a release of the room", noHolder)
	lives := other.Session && s.Keys[s.session(1-w)-1].Life == Alive
	if m.HandsOver && lives {
		release("hands the room over", s.session(1-w))
	}
}

// rule6Settle reads the claim after a release without an answer. If it is another one, the worker sees it: that
// is the same as the watch.
func (m *Model) rule6Settle(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || me.Phase != Released || me.View.Rev != s.Room.Rev || s.awaits(w, Free) ||
		!m.ReopenAfterRelease && !decision.Settled(uint64(me.View.Rev), uint64(s.Room.Rev)) {
		return
	}
	me.Phase = Claimed
	emit(Step{Rule: "6", Does: "thinks that its release came to nothing", Worker: w}, s)
}

// rule7Gone ends a session after the worker has found it gone, by the watch or by reading.
func (m *Model) rule7Gone(s State, w int, emit emit) {
	if !s.Workers[w].Session || s.Keys[s.session(w)-1].Life != Dead {
		return
	}
	m.end(&s, w)
	emit(Step{Rule: "7", Does: "finds its session gone", Worker: w}, s)
}

// rule7End ends a session when its lease has run out, even if other workers still find it alive. Without
// clocks that may be at any time.
func (m *Model) rule7End(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || m.Clocks && m.guarded(me.Lease) {
		return
	}
	m.end(&s, w)
	emit(Step{Rule: "7", Does: "ends its session, as its lease is down", Worker: w}, s)
}

// end ends the session, which is renewed no more, except by renewals that are under way. All clients are
// closed.
func (m *Model) end(s *State, w int) {
	me := &s.Workers[w]
	me.Session, me.Knows, me.Lease = false, false, 0
	for i := range s.Net[w] {
		s.Net[w][i].Awaited = false
	}
	if me.Phase == Open && m.BeginBeforeClose {
		return // the clients are closed later
	}
	m.drop(me)
}

// drop closes the client and resets everything about the room.
func (m *Model) drop(me *Worker) {
	me.Phase, me.Fence, me.Marked, me.Checked, me.Next, me.Doubt, me.Unknown = None, 0, false, false, 0, false, false
}

// rule8Read reads the revision of the worker's own session, after a renewal without an answer. The lease
// still begins at the last renewal that the worker counted.
func (m *Model) rule8Read(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || me.Knows || s.Keys[s.session(w)-1].Life != Alive {
		return
	}
	me.Knows = true
	if m.ReadRenews && m.counts(me) {
		me.Lease = m.T
	}
	emit(Step{Rule: "8", Does: "reads the revision of its session", Worker: w}, s)
}

// watch shows the room's claim as it is now, at any time. A claim that was overwritten meanwhile is never
// seen, as with a history of 1 in JetStream.
func (m *Model) watch(s State, w int, emit emit) {
	if !s.Workers[w].Up || s.Room.Rev <= s.Workers[w].View.Rev {
		return
	}
	m.seeRoom(&s, w)
	emit(Step{Rule: "watch", Does: "sees the room's claim: " + name(s.Room.By), Worker: w}, s)
}

// seeRoom makes the room's claim known to a worker.
func (m *Model) seeRoom(s *State, w int) {
	me := &s.Workers[w]
	me.View, me.Gone = s.Room, false
	switch {
	case me.Session && s.Room.By == s.session(w) && s.Room.Rev > me.Fence:
		m.took(me, s.Room)
	case me.Phase != None && s.Room.By != s.session(w):
		m.drop(me)
	}
}

// touch is a change of the claim for another room of the shard.
func (m *Model) touch(s State, emit emit) {
	if !m.Touched || s.Room.Rev == 0 {
		return
	}
	s.Room.Rev = s.newRev()
	emit(Step{Rule: "server", Does: "the claim changes for another room", Worker: -1}, s)
}

// took is called when a worker knows that it has claimed the room: by the answer, or by the watch if the
// answer was lost. If it had the room before, it needs no other marker.
func (m *Model) took(me *Worker, c Claim) {
	if me.Phase == Open {
		return
	}
	me.Phase, me.Fence, me.Next, me.Doubt, me.Marked = Claimed, c.Rev, stale, false, me.Marked || c.Over
}

// answer is the arrival of an answer at the worker.
func (m *Model) answer(s State, w, i int, emit emit) {
	msg := s.Net[w][i]
	if msg.Kind == Nothing || !msg.Answer {
		return
	}
	me := &s.Workers[w]
	s.Net[w][i] = Message{}
	switch msg.Kind {
	case Take:
		if msg.Rev > me.View.Rev {
			me.View, me.Gone = Claim{Rev: msg.Rev, By: msg.Of}, false
			m.took(me, me.View)
		}
		emit(Step{Rule: "3", Does: "has the claim", Worker: w}, s)
	case Free:
		if msg.Rev > me.View.Rev {
			me.View, me.Gone = Claim{Rev: msg.Rev, By: msg.To, Over: msg.To != noHolder}, false
			if me.Phase != Open {
				m.drop(me)
			}
		}
		emit(Step{Rule: "6", Does: "has released the room", Worker: w}, s)
	case Mark, Publish:
		m.published(me, msg)
		emit(Step{Rule: "4", Does: "knows that it has published", Worker: w}, s)
	}
}

// crash ends a worker's process at any time. The system closes its sockets.
func (m *Model) crash(s State, w int, emit emit) {
	if !m.Crashes || !s.Workers[w].Up {
		return
	}
	s.Workers[w] = Worker{Begun: s.Workers[w].Begun}
	for i := range s.Net[w] {
		s.Net[w][i].Awaited = false
	}
	emit(Step{Rule: "crash", Does: "crashes", Worker: w, Fault: true}, s)
}

// name returns the name of a session in a trace.
func name(of Holder) string {
	return [...]string{"free", "A1", "A2", "B1", "B2"}[of]
}
