package main

// A fate is the result of a plain message. In the end each accepted message has exactly one.
type fate string

const (
	waiting  fate = ""
	taken    fate = "taken by a socket"
	returned fate = "handed back by Close"
	dropped  fate = "named in a drop notice"
)

type message struct {
	accepted bool // Send has returned nil
	received bool
	fate     fate
}

// offer is called before Send, and returns the number of its message.
func (a *account) offer() int {
	defer a.lock()()
	a.plain++
	a.plains[a.plain] = &message{}
	return a.plain
}

// answered is called with the result of Send.
func (a *account) answered(number int, err error) {
	defer a.lock()()
	m := a.plains[number]
	if err == nil {
		a.totals.accepted++
		if m != nil {
			m.accepted = true
		}
		a.forget(number)
		return
	}
	a.totals.refused++
	if m == nil || m.fate != waiting {
		a.fail("Send refused plain message %d (%v), which went out all the same", number, err)
	}
	delete(a.plains, number)
}

// flushed is called when Flush has returned nil: all messages accepted before have been
// written, except those of a client that drops messages, whose callback may run later.
func (a *account) flushed(upTo int) {
	defer a.lock()()
	for number, m := range a.plains {
		if number <= upTo && m.accepted && m.fate == waiting {
			a.fail("Flush returned nil, and plain message %d is not written", number)
		}
	}
}

// given records that the client has dropped or handed back a plain message.
func (a *account) given(number int, to fate) {
	defer a.lock()()
	m := a.plains[number]
	switch {
	case m == nil:
		a.fail("plain message %d was %s, but was never sent or is settled", number, to)
		return
	case m.fate != waiting:
		a.fail("plain message %d was %s after it was %s", number, to, m.fate)
	case m.received:
		a.fail("plain message %d was %s, but the server has received it", number, to)
	}
	m.fate = to
	if to == returned {
		a.totals.returned++
	} else {
		a.totals.dropped++
	}
	a.forget(number)
}

// droppedMore records dropped messages that are reported by number only.
func (a *account) droppedMore(n int) {
	defer a.lock()()
	a.totals.dropped += n
	a.unnamed += n
}

// forget forgets a plain message that is settled. One that a socket accepted is settled with
// its connection.
func (a *account) forget(number int) {
	if m := a.plains[number]; m != nil && m.accepted && (m.fate == returned || m.fate == dropped) {
		delete(a.plains, number)
	}
}

// gotPlain is called when the server has read a plain message.
func (a *account) gotPlain(l *link, number int) {
	a.totals.received++
	switch m := a.plains[number]; {
	case m == nil:
		a.fail("the server received plain message %d, which was never sent or is settled", number)
	case m.received:
		a.fail("the server received plain message %d twice", number)
	case m.fate == returned || m.fate == dropped:
		a.fail("the server received plain message %d, which was %s", number, m.fate)
	case number <= l.lastPlain:
		a.fail("the server received plain message %d after message %d on connection %d", number, l.lastPlain, l.number)
	default:
		m.received = true
	}
	l.lastPlain = number
}
