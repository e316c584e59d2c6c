package leasemodel

import "hash/maphash"

// A Step is the transition between two states.
type Step struct {
	Rule   string // of the protocol, or the part that acts
	Does   string
	Worker int  // the worker that acts or is affected; -1: none
	Fault  bool // a failure
}

type emit = func(Step, State)

// next emits all states that may come after s.
func (m *Model) next(s State, emit emit) {
	if s.Broken != Kept {
		return
	}
	m.tick(s, emit)
	m.expire(s, emit)
	m.forget(s, emit)
	m.touch(s, emit)
	for w := range s.Workers {
		m.begin(s, w, emit)
		m.rule1Renew(s, w, emit)
		m.rule2Close(s, w, emit)
		m.rule2Check(s, w, emit)
		m.rule2Write(s, w, emit)
		m.rule3Claim(s, w, emit)
		m.rule3Read(s, w, emit)
		m.rule4Mark(s, w, emit)
		m.rule4Publish(s, w, emit)
		m.rule4Read(s, w, emit)
		m.rule4Verify(s, w, emit)
		m.rule5Open(s, w, emit)
		m.rule6Release(s, w, emit)
		m.rule6Settle(s, w, emit)
		m.rule7Gone(s, w, emit)
		m.rule7End(s, w, emit)
		m.rule8Read(s, w, emit)
		m.watch(s, w, emit)
		m.crash(s, w, emit)
		for i := range s.Net[w] {
			m.arrive(s, w, i, emit)
			m.answer(s, w, i, emit)
			m.delay(s, w, i, emit)
			m.lose(s, w, i, emit)
		}
	}
}

// A Result is the result of Explore.
type Result struct {
	States int
	Steps  int
	Depth  int      // of the states, by the shortest way
	Broken Property // the first one, or Kept
	Trace  []Visit  // the shortest way there
	Full   bool     // no state was left out
}

// A Visit is a state in a trace, and the step that led to it.
type Visit struct {
	Step  Step
	State State
}

// Explore visits all states, the nearest first, until one breaks one of the properties
// or there are limit states.
func (m *Model) Explore(limit int, properties ...Property) Result {
	x := explorer{m: m, seed: maphash.MakeSeed(), table: make([]uint32, 1<<16)}
	live := false
	for _, p := range properties {
		live = live || p == Stuck
	}
	x.add(State{}, 0)
	depth := []uint32{0} // the index of the first state of each depth
	var r Result
	for i := 0; i < len(x.states); i++ {
		if i == int(depth[len(depth)-1]) {
			depth = append(depth, uint32(len(x.states)))
			if i == len(x.states) {
				break
			}
		}
		if live {
			x.offset = append(x.offset, uint32(len(x.edges)))
		}
		broken := Kept
		m.next(x.states[i], func(step Step, s State) {
			if broken != Kept {
				return
			}
			r.Steps++
			m.canonical(&s)
			if m.Symmetric {
				if t := s.swapped(); maphash.Comparable(x.seed, t) < maphash.Comparable(x.seed, s) {
					s = t
				}
			}
			n, isNew := x.add(s, uint32(i))
			if live && !step.Fault && n != i {
				x.edges = append(x.edges, uint32(n))
			}
			if isNew {
				if broken = m.broken(&s, properties); broken != Kept {
					r.Broken, r.Trace = broken, x.trace(n)
				}
			}
		})
		if broken != Kept || len(x.states) >= limit {
			r.States, r.Depth = len(x.states), len(depth)-1
			return r
		}
	}
	r.States, r.Depth, r.Full = len(x.states), len(depth)-2, true
	if live {
		if stuck := x.stuck(); stuck >= 0 {
			r.Broken, r.Trace = Stuck, x.trace(stuck)
		}
	}
	return r
}

// An explorer has all states that were visited, in the order of their distance.
type explorer struct {
	m      *Model
	seed   maphash.Seed
	states []State
	from   []uint32 // the state that each was first reached from
	table  []uint32 // open addressing: 1 + index of a state
	edges  []uint32 // the states that can be reached without a failure,
	offset []uint32 // and where those of each state begin
}

// add returns the index of a state, and whether it is new.
func (x *explorer) add(s State, from uint32) (int, bool) {
	mask := uint64(len(x.table) - 1)
	at := maphash.Comparable(x.seed, s) & mask
	for ; x.table[at] != 0; at = (at + 1) & mask {
		if n := x.table[at] - 1; x.states[n] == s {
			return int(n), false
		}
	}
	x.states, x.from = append(x.states, s), append(x.from, from)
	x.table[at] = uint32(len(x.states))
	if len(x.states)*3 > len(x.table)*2 {
		x.grow()
	}
	return len(x.states) - 1, true
}

func (x *explorer) grow() {
	x.table = make([]uint32, 2*len(x.table))
	mask := uint64(len(x.table) - 1)
	for i, s := range x.states {
		at := maphash.Comparable(x.seed, s) & mask
		for ; x.table[at] != 0; at = (at + 1) & mask {
		}
		x.table[at] = uint32(i + 1)
	}
}

// trace returns the way to a state. It finds the steps by executing them again.
func (x *explorer) trace(n int) []Visit {
	if n == 0 {
		return nil
	}
	from := int(x.from[n])
	trace := x.trace(from)
	found := false
	x.m.next(x.states[from], func(step Step, s State) {
		if x.m.canonical(&s); !found && s == x.states[n] {
			found = true
			trace = append(trace, Visit{step, s})
		}
	})
	return trace
}

// stuck returns the first state where a worker lives, but from where the room does not
// come to have exactly one holder even if nothing fails any more; or -1.
func (x *explorer) stuck() int {
	good := make([]bool, len(x.states))
	for i := range x.states {
		good[i] = x.m.held(&x.states[i])
	}
	x.offset = append(x.offset, uint32(len(x.edges)))
	for changed := true; changed; {
		changed = false
		for i := len(x.states) - 1; i >= 0; i-- {
			if good[i] {
				continue
			}
			for _, n := range x.edges[x.offset[i]:x.offset[i+1]] {
				if good[n] {
					good[i], changed = true, true
					break
				}
			}
		}
	}
	for i := range x.states {
		if !good[i] && x.m.lives(&x.states[i]) {
			return i
		}
	}
	return -1
}
