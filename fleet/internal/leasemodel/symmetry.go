package leasemodel

// swapped returns the state with the workers exchanged.
func (s *State) swapped() State {
	t := *s
	t.Workers[0], t.Workers[1] = s.Workers[1], s.Workers[0]
	t.Net[0], t.Net[1] = s.Net[1], s.Net[0]
	t.Room.By = other(s.Room.By)
	for i := range s.Keys {
		t.Keys[other(Holder(i+1))-1] = s.Keys[i]
	}
	for w := range t.Workers {
		me := &t.Workers[w]
		me.View.By = other(me.View.By)
		for i := range t.Net[w] {
			t.Net[w][i].Of = other(t.Net[w][i].Of)
			t.Net[w][i].To = other(t.Net[w][i].To)
		}
	}
	return t
}

// other returns the other worker's session of the same number.
func other(who Holder) Holder {
	switch {
	case who == noHolder:
		return noHolder
	case who <= perWorker:
		return who + perWorker
	}
	return who - perWorker
}
