package sessionmodel

// A Property is a property of the protocol that must hold.
type Property uint8

const (
	// Kept: nothing is broken.
	Kept Property = iota
	// WritesAfterEnd: the guard permits a write in a session that the reader has found ended.
	WritesAfterEnd
	// CountedKeyGone: a key is gone although the guard would permit a write by the time that
	// the worker counts for it. A worker that finds that gives its session up.
	CountedKeyGone
	// NeverEnds: the worker has crashed or its lease has run out, but the reader cannot find
	// that out any more.
	NeverEnds
)

func (p Property) String() string {
	return [...]string{
		"nothing is broken",
		"the guard says yes in a session that a reader knows to have ended",
		"a key that the worker counts on is gone",
		"no reader will ever know that the session has ended",
	}[p]
}

// broken returns the property that a state breaks, or Kept. (A single state does not show NeverEnds.)
func (m *Model) broken(s *State) Property {
	if s.Reader.Ended && m.guarded(s.lease()) {
		return WritesAfterEnd
	}
	for _, k := range s.Keys {
		if m.guarded(k.Count) && !k.Alive {
			return CountedKeyGone
		}
	}
	return Kept
}
