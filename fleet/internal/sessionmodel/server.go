package sessionmodel

// tick is the passing of time.
func (m *Model) tick(s State, emit emit) {
	pass := func(left *uint8) {
		if *left > 0 {
			*left--
		}
	}
	if !m.FirstOfMany {
		pass(&s.First)
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		pass(&k.Left)
		pass(&k.Count)
		pass(&k.Sent)
	}
	if r := &s.Reader; r.Read > 0 && !m.NoLimit {
		if r.Elapsed++; r.Elapsed >= m.Within {
			*r = Reader{} // the reading has taken too long, and begins again
		}
	}
	emit(Step{"time", "a tick passes"}, s)
}

// expire is the death of a key that has not been renewed. It may be late by any time.
func (m *Model) expire(s State, key int, emit emit) {
	if k := &s.Keys[key]; k.Alive && k.Left == 0 {
		k.Alive = false
		m.changed(k)
		emit(step("server", "key %d has died", key), s)
	}
}

// arrive writes the renewal that the worker waits for.
func (m *Model) arrive(s State, key int, emit emit) {
	k := &s.Keys[key]
	if k.Request != Sent {
		return
	}
	k.Request = Answered
	k.Alive, k.Left = true, m.T-m.D
	emit(step("server", "the renewal of key %d is written", key), s)
}

// late writes a renewal for which the worker does not wait any more, or whose answer is lost. The state
// does not have such renewals, since the worker may have sent one just now: it sends at any time, also
// from a pause after the end of its session, or before it crashed.
func (m *Model) late(s State, key int, emit emit) {
	if !s.Known {
		return
	}
	k := &s.Keys[key]
	k.Alive, k.Left = true, m.T-m.D
	m.changed(k)
	emit(step("server", "a renewal of key %d that was given up is written", key), s)
}

// changed drops a request that expects the former revision of a key.
func (m *Model) changed(k *Key) {
	if k.Request == Sent && !m.BlindPut {
		k.Request, k.Sent = None, 0
	}
}
