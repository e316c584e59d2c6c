package sessionmodel

// read reads the next key, from its leader. If the key exists, the reader begins again. If all keys were
// gone in two passes, the session has ended: if it had been alive after the first pass, a key would have
// been written after it was read in that pass, and would exist in the second.
//
// A reader may begin at any time after the session's first put; FirstOfMany shows why not before.
func (m *Model) read(s State, emit emit) {
	if !s.Known || s.Reader.Ended {
		return
	}
	r := &s.Reader
	key := int(r.Read) % m.Keys
	if s.Keys[key].Alive {
		if r.Read > 0 {
			*r = Reader{}
			emit(step("reader", "reads key %d: it is there", key), s)
		}
		return
	}
	r.Read++
	enough := 2 * m.Keys
	switch {
	case m.FirstDeadIsDead:
		enough = 1
	case m.OneReading:
		enough = m.Keys
	}
	does := "reads key %d: it is gone"
	if int(r.Read) == enough {
		*r = Reader{Ended: true}
		does += "; so the session has ended"
	}
	emit(step("reader", does, key), s)
}
