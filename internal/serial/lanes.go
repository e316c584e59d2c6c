package serial

// lanes have the items with keys that nothing without a key is before: one lane for each key. The
// mutex of the queue guards the fields.
type lanes struct {
	parallel int // how many of them run at a time
	busy     int // that run
	byKey    map[string]*lane
	ready    *lane // the first one that waits for its turn; nil: none
	tail     *lane // the last one; valid while ready is not nil
}

// A lane has the items with one key. It exists while there are any.
type lane struct {
	key      string
	running  Item  // nil: none
	number   int64 // of running
	exempted int   // how many calls of Exempt concern running
	first    Item  // of those behind it; nil: none
	last     Item  // valid while first is not nil
	next     *lane // in the order of their turns
}

// Parallel sets how many items with keys run at a time. It is called before the first item is put in;
// without it no item may have a key.
func (q *Queue) Parallel(most int) { q.parallel, q.byKey = most, map[string]*lane{} }

// spread moves items into lanes, up to the first one without a key, and starts goroutines for the lanes
// whose turn it is. It reports whether any lane runs. It is called with mu held, while no item without a
// key runs.
func (q *Queue) spread() bool {
	if q.parallel == 0 {
		return false
	}
	for q.first != nil && q.first.node().keyed {
		item := q.first
		q.shift()
		q.lanes.add(item)
	}
	for q.busy < q.parallel && q.ready != nil {
		go q.work(q.lanes.begin())
	}
	q.active = q.active || q.busy > 0
	return q.busy > 0
}

// work runs the first item of a lane, and then those of others, until there is none.
func (q *Queue) work(l *lane) {
	finished := false
	defer func() {
		if !finished { // runtime.Goexit
			go q.work(l)
		}
	}()
	for {
		l.running.Run(l.number)
		next, alone := q.after(l)
		if next == nil {
			finished = true
			if alone {
				q.loop()
			} else {
				q.idle()
			}
			return
		}
		l = next
	}
}

// after is called when the running item of a lane has run, and returns the lane that the caller runs
// next. Without one the caller must not run items any more, or, if alone is true, must call loop: an item
// without a key is the next.
func (q *Queue) after(l *lane) (next *lane, alone bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ran.Add(1)
	q.lanes.end(l)
	defer q.change()
	if q.ready != nil && q.busy < q.parallel {
		return q.lanes.begin(), false
	}
	alone = q.busy == 0 && q.first != nil
	q.active = q.busy > 0 || alone
	return nil, alone
}

// add appends an item to the lane of its key.
func (ls *lanes) add(item Item) {
	key := item.node().key
	l := ls.byKey[key]
	switch {
	case l == nil:
		l = &lane{key: key, first: item}
		ls.byKey[key] = l
		ls.queue(l)
	case l.first == nil:
		l.first = item
	default:
		l.last.node().next = item
	}
	l.last = item
}

// queue makes a lane wait for its turn.
func (ls *lanes) queue(l *lane) {
	if ls.ready == nil {
		ls.ready = l
	} else {
		ls.tail.next = l
	}
	ls.tail = l
}

// begin returns the lane whose turn it is, with its first item as the running one.
func (ls *lanes) begin() *lane {
	l := ls.ready
	ls.ready, l.next = l.next, nil
	ls.busy++
	l.running = l.first
	n := l.running.node()
	l.number = n.number
	l.first, n.next = n.next, nil
	return l
}

// end ends the running item of a lane.
func (ls *lanes) end(l *lane) {
	ls.busy--
	l.running, l.exempted = nil, 0
	if l.first == nil {
		delete(ls.byKey, l.key)
	} else {
		ls.queue(l)
	}
}

// exemptions is [Queue.exemptions] for an item in a lane.
func (ls *lanes) exemptions(number int64) *int {
	for _, l := range ls.byKey {
		if l.running != nil && l.number == number {
			return &l.exempted
		}
	}
	return nil
}

// haveRun reports whether the items up to that number have run, except those that are exempted and those
// that wait for them. behind is the first item that is in no lane; nil: none.
func (ls *lanes) haveRun(upTo int64, behind Item) bool {
	exempted := 0
	for _, l := range ls.byKey {
		if l.running != nil && l.exempted > 0 {
			exempted++
		}
	}
	for _, l := range ls.byKey {
		switch {
		case l.running != nil:
			if l.exempted == 0 && l.number <= upTo {
				return false
			}
		case l.first.node().number <= upTo && exempted < ls.parallel:
			return false
		}
	}
	return behind == nil || behind.node().number > upTo || exempted > 0
}
