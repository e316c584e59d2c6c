package leasemodel

import "math/bits"

// canonical gives all states that have the same possible continuations the same form.
func (m *Model) canonical(s *State) {
	for w := range s.Workers {
		me := &s.Workers[w]
		if !m.guarded(me.Lease) || !me.Session && !m.BeginBeforeClose {
			me.Lease = 0
		}
		if me.Next != s.Stream.Last {
			me.Next, me.Doubt = stale, false
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
				if k := s.Net[w][i].Kind; k == Mark || k == Publish {
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

// canonicalRevs gives revisions whose order does not matter any more the same value, below first. The
// revisions of the room begin at first.
func (m *Model) canonicalRevs(s *State) {
	for w := range s.Workers {
		if me := &s.Workers[w]; me.Begun == m.Sessions[w] && !me.Session && me.Phase != Open {
			*me = Worker{Begun: me.Begun} // it never comes back
		}
	}
	if m.Stream {
		return
	}
	// Without a stream, revisions are not compared with those that another worker knows.
	for w := range s.Workers {
		me := &s.Workers[w]
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

// first is below all revisions whose order matters.
const first = 3

// canonicalMessage removes a message that cannot have an effect any more: a late answer, or a
// compare-and-set that certainly fails.
func (m *Model) canonicalMessage(s *State, w int, msg *Message) {
	doomed := false
	switch msg.Kind {
	case Nothing:
		return
	case Renew:
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
	case Mark, Publish:
		switch {
		case msg.Answer:
			if msg.Expect != s.Stream.Last {
				msg.Expect = stale
			}
		case m.NoFence:
			msg.Expect = 0
		case msg.Expect == 0 && m.StreamForgets: // there may be none again
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
	return uint64(msg.To)<<56 | uint64(msg.Kind)<<48 | b(msg.Answer)<<41 | b(msg.Awaited)<<40 | uint64(msg.Of)<<32 |
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
			if msg := &s.Net[w][i]; !msg.Answer && (msg.Kind == Take || msg.Kind == Free) {
				msg.Expect = rankOf(used, msg.Expect)
			}
		}
	}
}

// rankOf is how many of the revisions used are below rev.
func rankOf(used uint64, rev uint8) uint8 {
	return uint8(bits.OnesCount64(used & (1<<rev - 1)))
}
