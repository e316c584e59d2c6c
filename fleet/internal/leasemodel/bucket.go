package leasemodel

// tick is the passing of time. Where pauses are not permitted, it waits for the worker.
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

// expire is the death of a session that has not been renewed. It may be late.
func (m *Model) expire(s State, emit emit) {
	for i := range s.Keys {
		if s.Keys[i].Life == Alive && s.Keys[i].Left == 0 {
			next := s
			next.Keys[i] = Key{Life: Dead}
			m.changed(&next, Holder(i+1))
			emit(Step{Rule: "server", Does: "the session that is not renewed has died", Worker: i / perWorker}, next)
		}
	}
}

// arrive is the arrival of a request at the server, which executes and answers it. A compare-and-set that
// fails is not answered: for the worker that is the same as a lost request, since the worker may read, or
// retry, at any time.
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
		s.Room = Claim{Rev: msg.Rev, By: msg.To, Over: msg.To != noHolder}
		does = "its release is written: the claim is free"
		if msg.To != noHolder {
			does = "its hand-over is written: the room is the other's"
		}
	case Mark, Publish:
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

// changed drops renewals that expect a former revision of the session: they would fail.
func (m *Model) changed(s *State, who Holder) {
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

// life returns for at least how long the server keeps a session.
func (m *Model) life() uint8 {
	if !m.Clocks {
		return 0
	}
	return m.T - m.D
}

// lose is the loss of a request or an answer. For the worker, the request has timed out.
func (m *Model) lose(s State, w, i int, emit emit) {
	msg := s.Net[w][i]
	if msg.Kind == Nothing {
		return
	}
	m.unknown(&s, w, msg)
	s.Net[w][i] = Message{}
	emit(Step{Rule: "network", Does: "a request or its answer is lost", Worker: w, Fault: true}, s)
}

// delay makes a request late: the worker does not wait for it any more, and it arrives later.
func (m *Model) delay(s State, w, i int, emit emit) {
	msg := &s.Net[w][i]
	if msg.Kind == Nothing || msg.Kind == Renew || msg.Answer || !msg.Awaited {
		return
	}
	m.unknown(&s, w, *msg)
	msg.Awaited = false
	emit(Step{Rule: "network", Does: "a request is late, it has given it up", Worker: w, Fault: true}, s)
}

// unknown is called when a worker stops to wait for the answer to a request.
func (m *Model) unknown(s *State, w int, msg Message) {
	if me := &s.Workers[w]; msg.Awaited && msg.Kind == Publish && msg.Fence == me.Fence && me.Phase != None {
		me.Unknown = true
	}
}
