package sessionmodel

import "fmt"

// begin is the first put of the session, of any key, as one action: a worker that receives no answer uses
// another session.
func (m *Model) begin(s State, key int, emit emit) {
	if s.Known {
		return
	}
	s.Known = true
	s.Keys[key] = Key{Alive: true, Left: m.T - m.D, Count: m.T}
	emit(step("worker", "begins a session with key %d", key), s)
	if m.ManyFirst || m.FirstOfMany {
		s.First, s.Keys[key].Count = m.T, 0
		emit(step("worker", "begins a session with key %d; the answer is lost", key), s)
	}
}

// renew sends a renewal of a key that is alive, dead or was never written: the worker can read the
// revision. It does not wait any more for an earlier one.
func (m *Model) renew(s State, key int, emit emit) {
	if !s.Known || s.Crashed {
		return
	}
	k := &s.Keys[key]
	k.Request, k.Sent = Sent, m.T
	emit(step("worker", "sends a renewal of key %d", key), s)
}

// count handles the answer to a renewal. (If it is not counted, that is as if the
// answer had been lost.)
func (m *Model) count(s State, key int, emit emit) {
	k := &s.Keys[key]
	if k.Request != Answered || !m.counts(&s) {
		return
	}
	k.Count, s.First = k.Sent, 0
	k.Request, k.Sent = None, 0
	emit(step("worker", "counts the renewal of key %d", key), s)
}

// crash ends the worker's process at any time. The end of a session is not modeled otherwise: a worker
// that gives its session up, because its lease has run out or a key is gone, does nothing any more, or
// something late.
func (m *Model) crash(s State, emit emit) {
	if !s.Known || s.Crashed {
		return
	}
	s.Crashed, s.First = true, 0
	for i := range s.Keys {
		k := &s.Keys[i]
		k.Count, k.Request, k.Sent = 0, None, 0
	}
	emit(Step{"worker", "crashes"}, s)
}

func step(who, does string, key int) Step {
	return Step{who, fmt.Sprintf(does, key+1)}
}
