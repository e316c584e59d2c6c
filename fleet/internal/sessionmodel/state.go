package sessionmodel

const most = 3 // keys

// A State is the state of the model at one time. In the zero State the session has not begun.
type State struct {
	Known   bool  // it has begun
	First   uint8 // what is left of T since the first put, if nothing has been counted yet
	Crashed bool  // the worker
	Keys    [most]Key
	Reader  Reader
}

// A Key is one of the session's keys on its server, and what the worker knows of it.
type Key struct {
	Alive bool
	Left  uint8 // for at least how long the server keeps it
	Count uint8 // what is left of T since the renewal was sent that the worker counts

	Request Request // the renewal that the worker waits for
	Sent    uint8   // what is left of T since it was sent
}

// A Request is a renewal on its way.
type Request uint8

const (
	None     Request = iota
	Sent             // its key has not changed since
	Answered         // it is written, the answer is on its way
)

// A Reader has found all keys gone that it has read so far.
type Reader struct {
	Read    uint8 // keys, in both passes; 0: it does not read
	Elapsed uint8 // since before the first
	Ended   bool  // it has found out that the session has ended
}

// lease returns the rest of the worker's lease.
func (s *State) lease() uint8 {
	left := uint8(0)
	for _, k := range s.Keys {
		left = max(left, k.Count)
	}
	return left
}

// canonical gives states that have the same possible continuations the same form.
func (m *Model) canonical(s *State) {
	if s.First > 0 && !m.counts(s) {
		s.First = 0
	}
	useless := func(left uint8) bool {
		return left == 0 || !m.CountsInMargin && !m.guarded(left)
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		if useless(k.Count) {
			k.Count = 0
		}
		// A renewal that would not be counted is the same as one without an answer.
		if useless(k.Sent) {
			k.Request, k.Sent = None, 0
		}
	}
	if !m.counts(s) {
		for i := range s.Keys {
			s.Keys[i].Request, s.Keys[i].Sent = None, 0
		}
	}
}
