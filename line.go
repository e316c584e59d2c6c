package wechatws

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// A line holds messages that wait, in order. To add one and to remove
// one, wherever it is, takes the same time however long the line is, or the logarithm of
// that if the message can expire. It keeps no memory for messages that have left.
type line struct {
	first, last *outgoing
	n           int
	expiring    expiring
}

func (l *line) pushBack(m *outgoing)  { l.insert(l.last, m, nil) }
func (l *line) pushFront(m *outgoing) { l.insert(nil, m, l.first) }

func (l *line) insert(prev, m, next *outgoing) {
	m.prev, m.next, m.waits = prev, next, true
	l.join(prev, m)
	l.join(m, next)
	l.n++
	if !m.expires.IsZero() {
		heap.Push(&l.expiring, m)
	}
}

func (l *line) remove(m *outgoing) {
	l.join(m.prev, m.next)
	m.prev, m.next, m.waits = nil, nil, false
	l.n--
	if !m.expires.IsZero() {
		heap.Remove(&l.expiring, m.place)
	}
}

// join makes two messages neighbours; nil is the end of the line.
func (l *line) join(prev, next *outgoing) {
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

// expired returns a message that has expired, or nil.
func (l *line) expired(now time.Time) *outgoing {
	if len(l.expiring) > 0 && l.expiring[0].expired(now) {
		return l.expiring[0]
	}
	return nil
}

// expiring is a heap of the messages that can expire: the next one to do so is on top,
// and of several the oldest.
type expiring []*outgoing

func (e expiring) Len() int { return len(e) }

func (e expiring) Less(i, j int) bool {
	return cmp.Or(e[i].expires.Compare(e[j].expires), cmp.Compare(e[i].seq, e[j].seq)) < 0
}

func (e expiring) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].place, e[j].place = i, j
}

func (e *expiring) Push(m any) {
	item := m.(*outgoing)
	item.place = len(*e)
	*e = append(*e, item)
}

func (e *expiring) Pop() any {
	old := *e
	last := len(old) - 1
	item := old[last]
	old[last] = nil
	*e = old[:last]
	if last < cap(old)/4 {
		*e = slices.Clone(*e)
	}
	return item
}
