package sessionmodel

// A Model is what is explored.
type Model struct {
	World
	Mistakes
}

// A World is what is assumed, and its times, in ticks.
type World struct {
	// Keys is how many keys the session has.
	Keys int
	// T is the time to live of a key, M the margin: from M/2 before the end of the lease
	// the guard says no.
	T, M uint8
	// D is how much earlier than T after a renewal a server may let a key die: what its
	// clock and the worker's differ by in that time.
	D uint8
	// Within is what a reading must take less than, by the reader's clock. The protocol
	// has T/2.
	Within uint8
	// ManyFirst tells that a worker without an answer to its first put goes on in the same
	// session, with any key. It counts its first renewal only if the guard would say yes by
	// the time since it sent the first put.
	ManyFirst bool
}

// Mistakes are what the protocol would be without one of its parts.
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
	// CountsInMargin: a renewal is counted as long as anything is left of the lease, be
	// it that the guard says no.
	CountsInMargin bool
	// NoMargin: the guard says no only when T has passed.
	NoMargin bool
	// FirstOfMany: like ManyFirst, but the first answer is always counted.
	FirstOfMany bool
	// BlindPut: a renewal is just put, whatever became of the key.
	BlindPut bool
}

// guarded tells whether the guard says yes with so much left of the lease.
func (m *Model) guarded(left uint8) bool {
	if m.NoMargin {
		return left > 0
	}
	return left > m.M/2
}

// counts tells whether a renewal is counted whose answer is handled now.
func (m *Model) counts(s *State) bool {
	switch {
	case m.CountsLate || m.FirstOfMany && s.First > 0:
		return true
	case m.CountsInMargin:
		return s.lease() > 0
	}
	return m.guarded(max(s.lease(), s.First))
}
