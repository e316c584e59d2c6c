package leasemodel

// A Property is what must not be broken.
type Property uint8

const (
	// Nothing is broken.
	Kept Property = iota
	// TwoWriters: two workers have an open client, and the guards of both say yes.
	TwoWriters
	// TwoClients: two workers have an open client, be it that one of them cannot write
	// any more.
	TwoClients
	// LateWrite: a worker whose claim is not the room's any more writes to the room while
	// the one whose claim it is has an open client.
	LateWrite
	// FenceWentBack: in the inbound stream, something of an older fence comes after
	// something of a newer one.
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

// broken tells which of the properties a state breaks.
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

// held tells whether exactly one worker holds the room, with a claim that counts.
func (m *Model) held(s *State) bool {
	n := 0
	for w, me := range s.Workers {
		if me.Phase == Open {
			n++
			if s.Room.Rev != me.Fence || s.Room.By != s.session(w) || s.Keys[s.Room.By-1].Life != Alive || !m.leased(me.Lease) {
				return false
			}
		}
	}
	return n == 1
}

// lives tells whether there is a worker that can go on: it has a session, or may begin
// one.
func (m *Model) lives(s *State) bool {
	for w, me := range s.Workers {
		if me.Begun < m.Sessions[w] || me.Session && s.Keys[s.session(w)-1].Life == Alive && m.guarded(me.Lease) {
			return true
		}
	}
	return false
}
