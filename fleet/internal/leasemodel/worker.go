package leasemodel

// begin is the start of a worker, or of its next session after one that was lost. The
// first put of a session is one action: a worker that does not know what became of it
// takes another session.
func (m *Model) begin(s State, w int, emit emit) {
	me := &s.Workers[w]
	if me.Session || me.Begun == m.Sessions[w] || me.Phase == Open && !m.BeginBeforeClose {
		return
	}
	me.Begun++
	me.Up, me.Session = true, true
	rev := s.newRev()
	s.Keys[s.session(w)-1] = Key{Rev: rev, Life: Alive, Left: m.life()}
	me.Rev, me.Lease = rev, m.T
	emit(Step{Rule: "start", Does: "begins a session", Worker: w}, s)
}

// rule1Renew sends a renewal. When the answer comes, the lease counts from now.
func (m *Model) rule1Renew(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Clocks || !me.Session || s.awaits(w, Renew) {
		return
	}
	if me.Rev == 0 && !m.RenewResurrects {
		return // it would fail; see rule8Read
	}
	if m.send(&s, w, Message{Kind: Renew, Of: s.session(w), Expect: me.Rev, Left: m.T}) {
		emit(Step{Rule: "1", Does: "sends a renewal of its session", Worker: w}, s)
	}
}

// rule2Close closes the client, at the latest when the lease has run out. (World.Pauses
// tells how late a worker can be.)
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

// rule2Check asks the guard whether something may be written now.
func (m *Model) rule2Check(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Writes || me.Phase != Open || me.Checked || !m.guarded(me.Lease) {
		return
	}
	me.Checked = true
	emit(Step{Rule: "2", Does: "asks the guard, which says yes", Worker: w}, s)
}

// rule2Write writes to the socket what the guard has said yes to.
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

// rule3Claim sends a claim by compare-and-set on what has been seen: a free room, or
// one whose session is dead. Placement is left out: each worker may want the room, or
// not want it any more, at any time.
func (m *Model) rule3Claim(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || !m.leased(me.Lease) || s.awaits(w, Take, Free) {
		return
	}
	by := me.View.By
	switch {
	case me.Phase == Released && by == s.session(w): // it takes its release back, with a new fence
	case me.Phase == None && by == nobody && m.knows(&s, w):
	case me.Phase == None && by != nobody && me.Seen[by-1] == Dead:
	case me.Phase == None && by != nobody && me.Seen[by-1] == Unseen && m.UnknownIsDead && by != s.session(w):
	default:
		return
	}
	if m.send(&s, w, Message{Kind: Take, Of: s.session(w), Expect: me.View.Rev}) {
		emit(Step{Rule: "3", Does: "sends a claim for the room", Worker: w}, s)
	}
}

// knows tells whether a worker that has seen no claim knows that there is none: its
// watch has come to its own session's key, which is after what there was before.
func (m *Model) knows(s *State, w int) bool {
	me := &s.Workers[w]
	return me.View.Rev > 0 || me.Seen[s.session(w)-1] != Unseen
}

// rule3Read reads the key of a session that holds the room and has not been seen. If
// it is not there, the session is dead: it has been there, or else it could not have
// made its claim, and it does not come back.
func (m *Model) rule3Read(s State, w int, emit emit) {
	me := &s.Workers[w]
	by := me.View.By
	if m.UnknownByEchoes || !me.Session || by == nobody || me.Seen[by-1] != Unseen || s.Keys[by-1].Life != Dead {
		return
	}
	me.Seen[by-1] = Dead
	emit(Step{Rule: "3", Does: "reads the holder's session: it is gone", Worker: w}, s)
}

// rule5Open opens the client.
func (m *Model) rule5Open(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || me.Phase != Claimed || !m.leased(me.Lease) || m.Stream && !m.NoFence && !me.Marked {
		return
	}
	me.Phase = Open
	emit(Step{Rule: "5", Does: "opens its client", Worker: w}, s)
}

// rule6Release sends a release. From now on nothing is done under this fence any more:
// the release may come at any time, also when it was given up.
func (m *Model) rule6Release(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || s.awaits(w, Take, Free) || me.Fence != s.Room.Rev {
		return
	}
	switch {
	case me.Phase == Claimed || me.Phase == Released:
		me.Phase = Released
	case me.Phase == Open && m.ReleaseBeforeClose:
	default:
		return
	}
	if m.send(&s, w, Message{Kind: Free, Of: s.session(w), Expect: me.Fence}) {
		emit(Step{Rule: "6", Does: "sends a release of the room", Worker: w}, s)
	}
}

// rule6Reopen is what must not be done.
func (m *Model) rule6Reopen(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.ReopenAfterRelease || !me.Session || me.Phase != Released || me.View.Rev != me.Fence || s.awaits(w, Free) {
		return
	}
	me.Phase = Claimed
	emit(Step{Rule: "6", Does: "thinks that its release came to nothing", Worker: w}, s)
}

// lost is rule 7: the session is found lost. All clients are closed.
func (m *Model) lost(s *State, w int) {
	me := &s.Workers[w]
	me.Session, me.Rev, me.Lease = false, 0, 0
	for i := range s.Net[w] {
		s.Net[w][i].Awaited = false
	}
	if me.Phase == Open && m.BeginBeforeClose {
		return // they will be, soon
	}
	m.drop(me)
}

// drop closes the client and has nothing to do with the room any more.
func (m *Model) drop(me *Worker) {
	me.Phase, me.Fence, me.Marked, me.Checked, me.Next = None, 0, false, false, 0
}

// rule8Read reads the key of the worker's own session, after a renewal of which it
// does not know what became. If it is there the worker goes on with its revision, but
// its lease still counts from the last renewal that was answered.
func (m *Model) rule8Read(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Session || me.Rev != 0 {
		return
	}
	key := s.Keys[s.session(w)-1]
	if key.Life == Dead {
		m.lost(&s, w)
		emit(Step{Rule: "7", Does: "reads its session: it is gone", Worker: w}, s)
		return
	}
	me.Rev = key.Rev
	if m.ReadRenews {
		me.Lease = m.T
	}
	emit(Step{Rule: "8", Does: "reads the revision of its session", Worker: w}, s)
}

// watch is the next message of the watch on the bucket: of all keys the one with the
// lowest revision above where the watch is. What has been overwritten in the meantime
// is never seen: that is what JetStream does with a history of 1.
func (m *Model) watch(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Up {
		return
	}
	const room = -1
	at, key := uint8(stale), room
	if s.Room.Rev > me.Pos {
		at = s.Room.Rev
	}
	for i := range s.Keys {
		if rev := s.Keys[i].Rev; rev > me.Pos && rev < at {
			at, key = rev, i
		}
	}
	if at == stale {
		return
	}
	me.Pos = at
	if key == room {
		m.seeRoom(&s, w)
		emit(Step{Rule: "watch", Does: "sees the room's claim: " + name(s.Room.By), Worker: w}, s)
		return
	}
	who, life := Who(key+1), s.Keys[key].Life
	me.Seen[key] = life
	does := "sees a session live: "
	if life == Dead {
		does = "sees a session's delete marker: "
		if who == s.session(w) && me.Session {
			m.lost(&s, w)
		}
	}
	if m.UnknownByEchoes {
		m.echo(me, who == s.session(w), key)
	}
	emit(Step{Rule: "watch", Does: does + name(who), Worker: w}, s)
}

// seeRoom is what a worker makes of the room's key. An answer may have told it more
// already.
func (m *Model) seeRoom(s *State, w int) {
	me := &s.Workers[w]
	if s.Room.Rev <= me.View.Rev {
		return
	}
	me.View, me.Echo = s.Room, 0
	switch {
	case me.Session && s.Room.By == s.session(w) && s.Room.Rev > me.Fence:
		m.took(me, s.Room.Rev)
	case me.Phase != None && s.Room.Rev > me.Fence:
		m.drop(me)
	}
}

// took is a claim that was written: known by its answer, or by the watch if that was
// lost.
func (m *Model) took(me *Worker, rev uint8) {
	if me.Phase == Open {
		return
	}
	m.drop(me)
	me.Phase, me.Fence, me.Next = Claimed, rev, stale
}

// echo counts how long the worker has seen its own renewals, but nothing of the
// session that holds the room.
func (m *Model) echo(me *Worker, own bool, key int) {
	by := me.View.By
	switch {
	case by == nobody || me.Seen[by-1] != Unseen:
		me.Echo = 0
	case own && me.Echo == 0:
		me.Echo = 1
	case own && me.Echo > m.T+1: // longer than T after the first
		me.Seen[by-1], me.Echo = Dead, 0
	}
}

// answer is an answer that comes to the worker.
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
			me.View = Claim{Rev: msg.Rev, By: msg.Of}
			m.took(me, msg.Rev)
		}
		emit(Step{Rule: "3", Does: "has the claim", Worker: w}, s)
	case Free:
		if msg.Rev > me.View.Rev {
			me.View = Claim{Rev: msg.Rev}
			if me.Phase != Open {
				m.drop(me)
			}
		}
		emit(Step{Rule: "6", Does: "has released the room", Worker: w}, s)
	case Publish:
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

// name is a session's name in a trace.
func name(who Who) string {
	return [...]string{"free", "A1", "A2", "B1", "B2"}[who]
}
