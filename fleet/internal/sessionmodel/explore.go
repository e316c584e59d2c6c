package sessionmodel

// A Step is the transition between two states.
type Step struct {
	Who  string
	Does string
}

type emit = func(Step, State)

// next emits all states that may come after s.
func (m *Model) next(s State, emit emit) {
	m.tick(s, emit)
	m.crash(s, emit)
	m.read(s, emit)
	for key := range m.Keys {
		m.begin(s, key, emit)
		m.renew(s, key, emit)
		m.count(s, key, emit)
		m.arrive(s, key, emit)
		m.late(s, key, emit)
		m.expire(s, key, emit)
	}
}

// A Result is the result of Explore.
type Result struct {
	States int
	Broken Property
	Trace  []Step // the shortest way there
}

// Explore visits all states, the nearest first, until one breaks a property that is
// not among the ignored ones.
func (m *Model) Explore(ignored ...Property) Result {
	x := explorer{m: m, index: map[State]uint32{}}
	x.add(State{}, 0)
	for i := 0; i < len(x.states); i++ {
		broken := Kept
		m.next(x.states[i], func(_ Step, s State) {
			m.canonical(&s)
			if broken != Kept || !x.add(s, uint32(i)) {
				return
			}
			broken = m.broken(&s)
			for _, p := range ignored {
				if broken == p {
					broken = Kept
				}
			}
		})
		if broken != Kept {
			return Result{len(x.states), broken, x.trace(len(x.states) - 1)}
		}
	}
	if i := x.neverEnds(); i >= 0 {
		return Result{len(x.states), NeverEnds, x.trace(i)}
	}
	return Result{States: len(x.states)}
}

// An explorer has all states that were visited, in the order of their distance.
type explorer struct {
	m      *Model
	index  map[State]uint32
	states []State
	from   []uint32 // the state that each was first reached from
}

// add adds a state, and reports whether it is new.
func (x *explorer) add(s State, from uint32) bool {
	if _, ok := x.index[s]; ok {
		return false
	}
	x.index[s] = uint32(len(x.states))
	x.states, x.from = append(x.states, s), append(x.from, from)
	return true
}

// trace returns the way to a state. It finds the steps by executing them again.
func (x *explorer) trace(n int) []Step {
	if n == 0 {
		return nil
	}
	from := int(x.from[n])
	trace := x.trace(from)
	found := false
	x.m.next(x.states[from], func(step Step, s State) {
		if x.m.canonical(&s); !found && s == x.states[n] {
			found = true
			trace = append(trace, step)
		}
	})
	return trace
}

// neverEnds returns the first state in which the guard refuses writes, and from which the reader cannot
// find that out, or -1. From such a state only such states are reached.
func (x *explorer) neverEnds() int {
	ends := map[State]bool{}
	var over []int
	for i, s := range x.states {
		if s.Known && s.First == 0 && !x.m.guarded(s.lease()) {
			over = append(over, i)
			ends[s] = s.Reader.Ended
		}
	}
	for changed := true; changed; {
		changed = false
		for _, i := range over {
			s := x.states[i]
			if ends[s] {
				continue
			}
			x.m.next(s, func(_ Step, t State) {
				if x.m.canonical(&t); ends[t] && !ends[s] {
					ends[s], changed = true, true
				}
			})
		}
	}
	for _, i := range over {
		if !ends[x.states[i]] {
			return i
		}
	}
	return -1
}
