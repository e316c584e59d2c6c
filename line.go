package wechatws

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"time"
)

// An outgoing is an Outbound on its way through the queue. The queue's mutex guards its
// fields; while it is in flight, its data, start and end belong to the writer.
type outgoing struct {
	Outbound
	confirmTimeout time.Duration // see ConfirmTimeout
	of             *outgoing     // the message of SendConfirmed that this is a try of
	request        *request      // the one that waits for the answer; nil: none

	direct  bool // it does not wait for a connection, see FailFast
	waits   bool // it is in a line
	suspect bool // the peer may have refused it, see refused.go; not set for tries
	gone    bool // it has left the queue: written, or given up with err

	size       int       // bytes when it was accepted
	written    time.Time // when a try was written
	traced     *traced   // nil: no trace function needs it
	start, end int64     // its place in the stream of the wire
	seq        uint64    // its number among all messages that were accepted
	link       *link     // the one that wrote it; of a message of SendConfirmed, its last try
	err        error

	prev, next *outgoing // neighbours in the line
	place      int       // index in expiring
}

// traced is what [Trace.MessageSent] is called with, from when a message was accepted.
type traced struct {
	ctx      context.Context // never ends
	accepted time.Time
}

// expired reports whether the message has expired.
func (o *outgoing) expired(now time.Time) bool {
	return !o.expires.IsZero() && !now.Before(o.expires)
}

// A line is a list of waiting messages, in order. To add or remove one takes constant time,
// or logarithmic time if the message can expire. The memory of messages that have left is
// released.
type line struct {
	first, last *outgoing
	n           int
	expiring    expiring
}

func (l *line) pushBack(m *outgoing)  { l.insert(l.last, m, nil) }
func (l *line) pushFront(m *outgoing) { l.insert(nil, m, l.first) }

// insert puts m between two neighbours; nil is the end of the line.
func (l *line) insert(prev, m, next *outgoing) {
	m.prev, m.next, m.waits = prev, next, true
	l.join(prev, m)
	l.join(m, next)
	l.n++
	if !m.expires.IsZero() {
		heap.Push(&l.expiring, m)
	}
}

// remove removes m, which must be in the line.
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

// expiring is a heap of the messages that can expire. The one that expires next is on top;
// of several with the same time, the oldest.
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
