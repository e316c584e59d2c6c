package leasemodel

// A Property is a property of the protocol that must hold.
type Property uint8

const (
	// Nothing is broken.
	Kept Property = iota
	// TwoWriters: two workers have an open client, and the guards of both permit writes.
	TwoWriters
	// TwoClients: two workers have an open client, even if one of them cannot write any
	// more.
	TwoClients
	// LateWrite: a worker that has lost its claim writes to the room while the worker that
	// has the claim has an open client.
	LateWrite
	// FenceWentBack: in the inbound stream, a message with an older fence comes after a
	// message with a newer one.
	FenceWentBack
	// Stuck: no state with exactly one holder can be reached, although a worker lives
	// and nothing fails any more.
	Stuck
)

func (p Property) String() string {
	return [...]string{
		"nothing is broken",
		"two workers have an open client that they may write to",
		"two workers have an open client",
		"a worker writes to the room while another one has it",
		"a message of an older fence comes after one of a newer fence",
		"the room stays without a holder for ever",
	}[p]
}

// broken returns the first of the properties that a state breaks, or Kept.
func (m *Model) broken(s *State, properties []Property) Property {
	a, b := &s.Workers[0], &s.Workers[1]
	for _, p := range properties {
		broken := s.Broken == p
		switch p {
		case TwoWriters:
			broken = a.Phase == Open && b.Phase == Open && m.guarded(a.Lease) && m.guarded(b.Lease)
		case TwoClients:
			broken = a.Phase == Open && b.Phase == Open
		}
		if broken {
			return p
		}
	}
	return Kept
}

// held reports whether exactly one worker holds the room, with a valid claim.
func (m *Model) held(s *State) bool {
	n := 0
	for w, me := range s.Workers {
		if me.Phase == Open {
			n++
			if s.Room.By != s.session(w) || s.Keys[s.Room.By-1].Life != Alive || !m.leased(me.Lease) {
				return false
			}
		}
	}
	return n == 1
}

// lives reports whether there is a worker that has a session, or may begin one.
func (m *Model) lives(s *State) bool {
	for w, me := range s.Workers {
		if me.Begun < m.Sessions[w] || me.Session && s.Keys[s.session(w)-1].Life == Alive && m.guarded(me.Lease) {
			return true
		}
	}
	return false
}
