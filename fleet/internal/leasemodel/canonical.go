package leasemodel

import "math/bits"

// canonical gives all states that cannot be told apart by what may come after them
// the same form.
func (m *Model) canonical(s *State) {
	for w := range s.Workers {
		me := &s.Workers[w]
		if me.Session {
			// A revision that is not the current one is of no use any more.
			if me.Rev != s.Keys[s.session(w)-1].Rev {
				me.Rev = 0
			}
		}
		if !m.guarded(me.Lease) || !me.Session && !m.BeginBeforeClose {
			me.Lease = 0
		}
		if me.Next != stale && me.Next != s.Stream.Last && (me.Next != 0 || !m.StreamForgets) {
			me.Next = stale
		}
		if me.Phase != Claimed && me.Phase != Open {
			me.Next = 0
		}
		for i := range s.Net[w] {
			m.canonicalMessage(s, w, &s.Net[w][i])
		}
	}
	if s.Stream.Last != 0 {
		for w := range s.Workers {
			one(&s.Workers[w].Next, s.Stream.Last)
			for i := range s.Net[w] {
				if s.Net[w][i].Kind == Publish {
					one(&s.Net[w][i].Expect, s.Stream.Last)
				}
			}
		}
		s.Stream.Last = 1
	}
	m.canonicalRevs(s)
	m.rank(s)
	for w := range s.Net {
		if a, b := &s.Net[w][0], &s.Net[w][1]; a.order() < b.order() {
			*a, *b = *b, *a
		}
	}
}

// canonicalRevs gives revisions of which the order does not matter any more the same
// value. Those below first are for that; the bucket's own begin there.
func (m *Model) canonicalRevs(s *State) {
	for w := range s.Workers {
		if me := &s.Workers[w]; me.Begun == m.Sessions[w] && !me.Session && me.Phase != Open {
			*me = Worker{Begun: me.Begun} // it never comes back
		}
	}
	if !m.Stream && s.Room.Rev > first && m.roomUnwatched(s) {
		m.moveRoom(s, first)
	}
	for i := range s.Keys {
		if s.Keys[i].Rev > first && m.unwatched(s, i) {
			m.move(s, i, first)
		}
	}
	for w := range s.Workers {
		me := &s.Workers[w]
		// The watch stands at a key, or else it might as well stand at the one before.
		// And it has passed what would tell it nothing.
		at, next := uint8(0), uint8(stale)
		see := func(rev uint8, tells bool) {
			if rev > me.Pos && tells {
				next = min(next, rev)
			}
		}
		see(s.Room.Rev, s.Room.Rev > me.View.Rev)
		for i, k := range s.Keys {
			see(k.Rev, m.tells(s, w, i))
		}
		pass := func(rev uint8) {
			if rev < next {
				at = max(at, rev)
			}
		}
		pass(s.Room.Rev)
		for _, k := range s.Keys {
			pass(k.Rev)
		}
		if me.Up {
			me.Pos = at
		}
		if m.Stream {
			continue
		}
		// Without a stream, nobody compares revisions with what another worker knows.
		view := me.View.Rev
		set := func(rev *uint8, to uint8) {
			if *rev != 0 && *rev != s.Room.Rev {
				*rev = to
			}
		}
		for i := range s.Net[w] {
			if msg := &s.Net[w][i]; msg.Answer && (msg.Kind == Take || msg.Kind == Free) {
				if msg.Rev <= view {
					*msg = Message{}
				}
				set(&msg.Rev, 2)
			}
		}
		set(&me.View.Rev, 1)
		set(&me.Fence, 1)
	}
}

// first is below all revisions of the bucket of which the order matters.
const first = 3

// tells tells whether a session's key would tell the watch of a worker anything.
func (m *Model) tells(s *State, w, key int) bool {
	k := s.Keys[key]
	if m.UnknownByEchoes && Who(key+1) == s.session(w) {
		return true
	}
	return k.Life != Unseen && k.Life != s.Workers[w].Seen[key]
}

// unwatched tells whether a session's key tells nobody anything.
func (m *Model) unwatched(s *State, key int) bool {
	if m.Crashes {
		return false
	}
	for w, me := range s.Workers {
		if !me.Up && me.Begun < m.Sessions[w] || me.Up && m.tells(s, w, key) {
			return false
		}
	}
	return true
}

// roomUnwatched tells whether all know the room's claim.
func (m *Model) roomUnwatched(s *State) bool {
	if m.Crashes {
		return false
	}
	for w, me := range s.Workers {
		if !me.Up && me.Begun < m.Sessions[w] || me.Up && me.View.Rev != s.Room.Rev {
			return false
		}
	}
	return true
}

// moveRoom gives the room's key another revision.
func (m *Model) moveRoom(s *State, rev uint8) {
	was := s.Room.Rev
	move := func(of *uint8) {
		if *of == was {
			*of = rev
		}
	}
	move(&s.Room.Rev)
	for w := range s.Workers {
		move(&s.Workers[w].View.Rev)
		move(&s.Workers[w].Fence)
		for i := range s.Net[w] {
			if msg := &s.Net[w][i]; msg.Kind == Take || msg.Kind == Free {
				move(&msg.Expect)
				move(&msg.Rev)
			}
		}
	}
}

// move gives a session's key another revision.
func (m *Model) move(s *State, key int, rev uint8) {
	was := s.Keys[key].Rev
	s.Keys[key].Rev = rev
	w := key / perWorker
	if me := &s.Workers[w]; s.session(w) == Who(key+1) && me.Rev == was {
		me.Rev = rev
	}
	for i := range s.Net[w] {
		if msg := &s.Net[w][i]; msg.Kind == Renew && msg.Of == Who(key+1) {
			if msg.Expect == was {
				msg.Expect = rev
			}
			if msg.Rev == was {
				msg.Rev = rev
			}
		}
	}
}

// canonicalMessage forgets a message that cannot change anything any more: a late
// answer, or a compare-and-set that is bound to fail.
func (m *Model) canonicalMessage(s *State, w int, msg *Message) {
	doomed := false
	switch msg.Kind {
	case Nothing:
		return
	case Renew:
		key := s.Keys[msg.Of-1]
		if doomed = key.Life != Alive || msg.Expect != key.Rev; m.RenewResurrects {
			doomed, msg.Expect = false, 0
		}
		if !m.guarded(msg.Left) || !msg.Awaited {
			msg.Left = 0
		}
	case Take:
		if msg.Answer {
			msg.Expect = 0
		} else if doomed = msg.Expect != s.Room.Rev; m.NoCompareAndSet {
			doomed, msg.Expect = false, 0
		}
	case Free:
		if msg.Answer {
			msg.Expect = 0
		} else {
			doomed = msg.Expect != s.Room.Rev
		}
	case Publish:
		switch {
		case msg.Answer:
			if msg.Expect != s.Stream.Last && (msg.Expect != 0 || !m.StreamForgets) {
				msg.Expect = stale
			}
		case m.NoFence:
			msg.Expect = 0
		case m.StreamForgets && msg.Expect == 0:
		default:
			doomed = msg.Expect != s.Stream.Last
		}
	}
	if doomed || msg.Answer && !msg.Awaited {
		*msg = Message{}
	}
}

// order is any order of messages, so that it does not matter which slots they are in.
func (msg *Message) order() uint64 {
	b := func(x bool) uint64 {
		if x {
			return 1
		}
		return 0
	}
	return uint64(msg.Kind)<<48 | b(msg.Answer)<<41 | b(msg.Awaited)<<40 | uint64(msg.Of)<<32 |
		uint64(msg.Expect)<<24 | uint64(msg.Rev)<<16 | uint64(msg.Fence)<<8 | uint64(msg.Left)
}

// one replaces the last sequence by 1.
func one(seq *uint8, last uint8) {
	if *seq == last {
		*seq = 1
	}
}

// rank replaces the revisions by their ranks. What a request expects is a revision, too.
func (m *Model) rank(s *State) {
	used := uint64(1<<(first+1) - 1)
	revs := s.revs()
	for _, rev := range revs {
		used |= 1 << *rev
	}
	for _, rev := range revs {
		*rev = rankOf(used, *rev)
	}
	for w := range s.Net {
		for i := range s.Net[w] {
			if msg := &s.Net[w][i]; !msg.Answer && (msg.Kind == Renew || msg.Kind == Take || msg.Kind == Free) {
				msg.Expect = rankOf(used, msg.Expect)
			}
		}
	}
}

// rankOf is how many of the revisions used are below rev.
func rankOf(used uint64, rev uint8) uint8 {
	return uint8(bits.OnesCount64(used & (1<<rev - 1)))
}
