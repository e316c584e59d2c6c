package outbox

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// An Item is a message for an [Outbox], or a message in it. The exported fields must not be
// changed once it was pushed, except that Value belongs to the writer while it is in flight.
type Item[V any] struct {
	Value   V
	Size    int       // bytes, which count towards the bound
	Expires time.Time // when it is dropped instead of written; zero: never
	Direct  bool      // it is accepted only while the outbox is open, beyond its bound
	Kept    bool      // it is accepted beyond the bound
	Alone   bool      // it is alone in its flight

	// The item is a node of an Outbox, the mutex of which guards the fields below.
	state      state
	abandoned  bool // it does not wait again if its flight fails
	err        error
	place      uint64        // among all items that were accepted; zero: it was not
	changed    chan struct{} // closed when it is accepted, if it waits for room, or gone; nil: nothing waits for that
	prev, next *Item[V]      // neighbours in the line
	index      int           // in expiring
}

// A state is where an item is.
type state int8

const (
	fresh    state = iota // not pushed yet
	forRoom               // its Push waits for room
	waits                 // to be written
	inFlight              // being written
	gone                  // it has left, or was withdrawn
)

// Place returns the place of an item in the order in which all were accepted.
func (it *Item[V]) Place() uint64 { return it.place }

// expired reports whether the item has expired.
func (it *Item[V]) expired(now time.Time) bool {
	return !it.Expires.IsZero() && !now.Before(it.Expires)
}

// awaited returns a channel for the call that waits for the item, which wake closes. It is
// called with the outbox's mutex held.
func (it *Item[V]) awaited() <-chan struct{} {
	it.changed = make(chan struct{})
	return it.changed
}

// wake wakes the call that waits for the item. It is called with the outbox's mutex held.
func (it *Item[V]) wake() {
	if it.changed != nil {
		close(it.changed)
		it.changed = nil
	}
}

// The kinds of items. Those that wait have a line for each, so that none is searched for among others.
const (
	plain  = iota // may be dropped to make room
	direct        // is dropped by Lost
	kept          // neither
	kinds
)

func (it *Item[V]) kind() int {
	switch {
	case it.Direct:
		return direct
	case it.Kept:
		return kept
	}
	return plain
}

// A line is a list of items.
type line[V any] struct{ first, last *Item[V] }

func (l *line[V]) pushBack(it *Item[V])  { l.insert(l.last, it, nil) }
func (l *line[V]) pushFront(it *Item[V]) { l.insert(nil, it, l.first) }

// insert puts an item between two neighbours; nil is the end of the line.
func (l *line[V]) insert(prev, it, next *Item[V]) {
	l.join(prev, it)
	l.join(it, next)
}

// remove removes an item, which must be in the line.
func (l *line[V]) remove(it *Item[V]) {
	l.join(it.prev, it.next)
	it.prev, it.next = nil, nil
}

// join makes two items neighbours; nil is the end of the line.
func (l *line[V]) join(prev, next *Item[V]) {
	if prev == nil {
		l.first = next
	} else {
		prev.next = next
	}
	if next == nil {
		l.last = prev
	} else {
		next.prev = prev
	}
}

// expiring is a heap of the items that can expire. The one that expires next is on top; of
// several with the same time, the oldest.
type expiring[V any] []*Item[V]

// add adds an item, if it can expire.
func (e *expiring[V]) add(it *Item[V]) {
	if !it.Expires.IsZero() {
		heap.Push(e, it)
	}
}

// remove removes an item that was added.
func (e *expiring[V]) remove(it *Item[V]) {
	if !it.Expires.IsZero() {
		heap.Remove(e, it.index)
	}
}

// Len implements [heap.Interface], as the following methods do.
func (e expiring[V]) Len() int { return len(e) }

func (e expiring[V]) Less(i, j int) bool {
	return cmp.Or(e[i].Expires.Compare(e[j].Expires), cmp.Compare(e[i].place, e[j].place)) < 0
}

func (e expiring[V]) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

func (e *expiring[V]) Push(v any) {
	it := v.(*Item[V])
	it.index = len(*e)
	*e = append(*e, it)
}

func (e *expiring[V]) Pop() any {
	old := *e
	last := len(old) - 1
	it := old[last]
	old[last] = nil
	*e = old[:last]
	if last < cap(old)/4 {
		*e = slices.Clone(*e)
	}
	return it
}
