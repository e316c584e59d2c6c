package sessionmodel

// A Model is the protocol with assumptions and mistakes.
type Model struct {
	World
	Mistakes
}

// A World has the assumptions, and the times, in ticks.
type World struct {
	// Keys is how many keys the session has.
	Keys int
	// T is the time to live of a key, M the margin: from M/2 before the end of the lease
	// the guard refuses writes.
	T, M uint8
	// D is how much earlier than T after a renewal a key may die on its server: the difference
	// between the server's clock and the worker's in that time.
	D uint8
	// Within is the limit of the time that a reading takes, by the reader's clock. In the
	// protocol it is T/2.
	Within uint8
	// ManyFirst is true if a worker without an answer to its first put continues in the same
	// session, with any key. It counts its first renewal only if the guard would permit a
	// write by the time since it sent the first put.
	ManyFirst bool
}

// Mistakes change the protocol, each by leaving out one of its parts.
type Mistakes struct {
	// OneReading: the keys are read only once.
	OneReading bool
	// NoLimit: the two passes over the keys may take any time.
	NoLimit bool
	// FirstDeadIsDead: the session is taken for ended when one key is gone.
	FirstDeadIsDead bool
	// CountsLate: a renewal is counted even if the lease had run out when its answer is
	// handled.
	CountsLate bool
	// CountsInMargin: a renewal is counted as long as anything is left of the lease, even if
	// the guard refuses writes.
	CountsInMargin bool
	// NoMargin: the guard refuses writes only when T has passed.
	NoMargin bool
	// FirstOfMany: like ManyFirst, but the first answer is always counted.
	FirstOfMany bool
	// BlindPut: a renewal is written without compare-and-set.
	BlindPut bool
}

// guarded reports whether the guard permits a write with so much left of the lease.
func (m *Model) guarded(left uint8) bool {
	if m.NoMargin {
		return left > 0
	}
	return left > m.M/2
}

// counts reports whether the worker counts a renewal whose answer it handles now.
func (m *Model) counts(s *State) bool {
	switch {
	case m.CountsLate || m.FirstOfMany && s.First > 0:
		return true
	case m.CountsInMargin:
		return s.lease() > 0
	}
	return m.guarded(max(s.lease(), s.First))
}
