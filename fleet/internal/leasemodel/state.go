package leasemodel

// A State is the state of the model at one time. The zero State is the first: no worker has started, and
// nothing has been written.
type State struct {
	Room    Claim
	Keys    [sessions]Key
	Workers [workers]Worker
	Net     [workers][slots]Message // what each worker has sent, and its answers
	Stream  Stream
	Broken  Property // what the last action has broken, if no state can show it
}

const (
	workers          = 2
	perWorker        = 2 // the most sessions that a worker may have
	sessions         = workers * perWorker
	slots            = 2 // for requests of a worker under way
	stale            = 0xff
	noHolder  Holder = 0
)

// A Holder is the number of a session: 1 and 2 are those of the first worker, 3 and 4 of the second.
type Holder uint8

// A Claim is the claim of the room's shard, or what a worker has seen of it. By is who holds the room by it:
// the session that holds the shard, or the one that the room is apart for. It is free if By is noHolder.
// Revision 0 is before the first write.
type Claim struct {
	Rev  uint8
	By   Holder
	Over bool // the former holder has handed the room over
}

// A Life is the state of a session.
type Life uint8

const (
	Unborn Life = iota
	Alive
	Dead
)

// A Key is a session. (A real one has a key in each of several buckets.)
type Key struct {
	Life Life
	Left uint8 // for at least how long the server keeps it
}

// A Phase is a worker's relation to the room.
type Phase uint8

const (
	None     Phase = iota
	Claimed        // it has the claim, its client is closed
	Open           // its client is open
	Released       // it has tried to free the claim
)

// A Worker is a worker's process. The zero Worker is not running.
type Worker struct {
	Begun   uint8 // sessions so far
	Up      bool  // the process runs
	Session bool  // it has one, as far as it knows
	Lease   uint8 // what is left of T since it sent the last renewal that it counts
	Knows   bool  // it knows the revision of its session
	View    Claim // what it knows of the room
	Gone    bool  // it has read that the session of this claim is gone
	Phase   Phase
	Fence   uint8 // the revision of its claim
	Marked  bool  // it may publish under the last marker: it has published one, or the room was handed over
	Next    uint8 // the sequence of the last marker that it knows
	Doubt   bool  // the worker that has published that one has seen a later claim
	Unknown bool  // the outcome of a publication is not known
	Checked bool  // the guard has said yes to a write that has not been done
}

// A Message is a request of a worker on its way to the server, or the answer on its
// way back. The zero Message is none.
type Message struct {
	Kind    Kind
	Answer  bool
	Awaited bool   // the worker still waits for the answer
	Of      Holder // the session that it is of
	To      Holder // the session that gets the room
	Expect  uint8  // the revision or sequence to compare with; a renewal has none: see changed
	Rev     uint8  // in the answer: the new one
	Fence   uint8  // of what is published
	Left    uint8  // what is left of T since a renewal was sent
}

// A Kind is what a request asks for.
type Kind uint8

const (
	Nothing Kind = iota
	Renew        // of a session
	Take         // the claim
	Free         // the room, or hand it over to a session
	Mark         // the stream: publish a marker
	Publish      // a message of the room to the inbound stream
)

// session returns the current session of worker w, or its last one.
func (s *State) session(w int) Holder {
	return Holder(w*perWorker) + Holder(s.Workers[w].Begun)
}

// awaits reports whether worker w waits for an answer of one of the kinds.
func (s *State) awaits(w int, kinds ...Kind) bool {
	for _, m := range s.Net[w] {
		for _, k := range kinds {
			if m.Awaited && m.Kind == k {
				return true
			}
		}
	}
	return false
}

// send sends a request, and reports whether a slot was free.
func (m *Model) send(s *State, w int, msg Message) bool {
	msg.Awaited = true
	for i := range m.Slots {
		if s.Net[w][i].Kind == Nothing {
			s.Net[w][i] = msg
			return true
		}
	}
	return false
}

// revs returns all revisions of the room's claim in the state. (An array of pointers: this is
// most of the explorer's work.)
func (s *State) revs() [1 + 2*workers + 2*workers*slots + 2]*uint8 {
	a, b := &s.Workers[0], &s.Workers[1]
	return [...]*uint8{
		&s.Room.Rev,
		&a.View.Rev, &a.Fence,
		&b.View.Rev, &b.Fence,
		&s.Net[0][0].Rev, &s.Net[0][0].Fence, &s.Net[0][1].Rev, &s.Net[0][1].Fence,
		&s.Net[1][0].Rev, &s.Net[1][0].Fence, &s.Net[1][1].Rev, &s.Net[1][1].Fence,
		&s.Stream.Fence, &s.Stream.Rev,
	}
}

// newRev returns a revision after all revisions in the state.
func (s *State) newRev() uint8 {
	highest := uint8(first)
	for _, rev := range s.revs() {
		highest = max(highest, *rev)
	}
	return highest + 1
}
