package sessionmodel

// A Property is what must not be broken.
type Property uint8

const (
	// Kept: nothing is broken.
	Kept Property = iota
	// WritesAfterEnd: the guard says yes in a session that the reader knows to have ended.
	WritesAfterEnd
	// CountedKeyGone: a key is gone although what the worker counts for it would be enough
	// for the guard. A worker that finds that gives its session up.
	CountedKeyGone
	// NeverEnds: the worker has crashed or its lease has run out, but the reader cannot
	// come to know it any more.
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

// broken tells which property a state breaks. (NeverEnds is not seen in one state.)
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
