package leasemodel

// tick lets time pass. Where pauses are forbidden, it has to wait for the worker.
func (m *Model) tick(s State, emit emit) {
	if !m.Clocks {
		return
	}
	for _, w := range s.Workers {
		if m.Pauses != Anywhere && w.Checked {
			return
		}
		if m.Pauses == Nowhere && w.Phase == Open && !m.guarded(w.Lease-min(w.Lease, 1)) {
			return
		}
	}
	pass := func(left *uint8) {
		if *left > 0 {
			*left--
		}
	}
	for i := range s.Keys {
		pass(&s.Keys[i].Left)
	}
	for w := range s.Workers {
		pass(&s.Workers[w].Lease)
		for i := range s.Net[w] {
			pass(&s.Net[w][i].Left)
		}
	}
	emit(Step{Rule: "time", Does: "a tick passes", Worker: -1}, s)
}

// expire lets a session die that has not been renewed. That may be late.
func (m *Model) expire(s State, emit emit) {
	for i := range s.Keys {
		if s.Keys[i].Life == Alive && s.Keys[i].Left == 0 {
			next := s
			next.Keys[i] = Key{Life: Dead}
			m.changed(&next, Who(i+1))
			emit(Step{Rule: "server", Does: "the session that is not renewed has died", Worker: i / perWorker}, next)
		}
	}
}

// arrive lets a request come to the server, which does what it says and answers. A
// compare-and-set that fails is not answered: to the worker that is as if it were
// lost, since it may read, or try again, at any time.
func (m *Model) arrive(s State, w, i int, emit emit) {
	msg := s.Net[w][i]
	if msg.Kind == Nothing || msg.Answer {
		return
	}
	does := ""
	switch msg.Kind {
	case Renew:
		// The answer comes at once or never. If it came later, the worker's lease would
		// be the shorter one in between, with which it can do nothing that it cannot do
		// with the longer one.
		s.Keys[msg.Of-1] = Key{Life: Alive, Left: m.life()}
		s.Net[w][i] = Message{}
		m.changed(&s, msg.Of)
		if !msg.Awaited {
			emit(Step{Rule: "server", Does: "a renewal of the session that it has ended is written", Worker: w}, s)
			return
		}
		emit(Step{Rule: "server", Does: "the renewal is written; the answer is lost", Worker: w, Fault: true}, s)
		if me := &s.Workers[w]; m.counts(me) {
			me.Knows, me.Lease = true, max(me.Lease, msg.Left)
			emit(Step{Rule: "1", Does: "has renewed its session", Worker: w}, s)
		}
		return
	case Take:
		if !m.NoCompareAndSet && s.Room.Rev != msg.Expect {
			return
		}
		msg.Rev = s.newRev()
		s.Room = Claim{Rev: msg.Rev, By: msg.Of}
		does = "its claim is written"
	case Free:
		if s.Room.Rev != msg.Expect {
			return
		}
		msg.Rev = s.newRev()
		s.Room = Claim{Rev: msg.Rev}
		does = "its release is written: the claim is free"
	case Publish:
		if !m.append(&s, &msg) {
			return
		}
		does = "what it published is in the stream"
	}
	if !msg.Awaited {
		does += " (late: it does not wait for it any more)"
	}
	msg.Answer = true
	s.Net[w][i] = msg
	if !m.Prompt {
		emit(Step{Rule: "server", Does: does, Worker: w}, s)
		return
	}
	if msg.Awaited {
		m.answer(s, w, i, emit)
		does += "; the answer is lost"
	}
	s.Net[w][i] = Message{}
	emit(Step{Rule: "server", Does: does, Worker: w, Fault: msg.Awaited}, s)
}

// changed drops what compares with a revision of the session that it does not have any
// more: such a renewal would fail.
func (m *Model) changed(s *State, who Who) {
	w := int(who-1) / perWorker
	if s.session(w) == who {
		s.Workers[w].Knows = false
	}
	if m.RenewResurrects {
		return
	}
	for i := range s.Net[w] {
		if msg := &s.Net[w][i]; msg.Kind == Renew && msg.Of == who {
			*msg = Message{}
		}
	}
}

// life is how long the server lets a session live for at least.
func (m *Model) life() uint8 {
	if !m.Clocks {
		return 0
	}
	return m.T - m.D
}

// lose loses a request or an answer. To the worker, the request has timed out.
func (m *Model) lose(s State, w, i int, emit emit) {
	if s.Net[w][i].Kind == Nothing {
		return
	}
	s.Net[w][i] = Message{}
	emit(Step{Rule: "network", Does: "a request or its answer is lost", Worker: w, Fault: true}, s)
}

// delay makes a request late: the worker does not wait for it any more, but it will
// come.
func (m *Model) delay(s State, w, i int, emit emit) {
	msg := &s.Net[w][i]
	if msg.Kind == Nothing || msg.Kind == Renew || msg.Answer || !msg.Awaited {
		return
	}
	msg.Awaited = false
	emit(Step{Rule: "network", Does: "a request is late, it has given it up", Worker: w, Fault: true}, s)
}
