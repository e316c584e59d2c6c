package main

import (
	"slices"
	"time"
)

// unheardOf is how long the server may have left to read the login of a connection
// that the client has closed. It is longer than any pause in reading.
const unheardOf = 30 * time.Second

// A link is one connection, as seen by both of its ends.
type link struct {
	number     int
	taken      []packet  // accepted by the client's socket
	read       []packet  // read by the server
	lastPlain  int       // number of the plain message that the server read last
	known      bool      // the server has read its login
	hurt       bool      // a fault of the server, or a Reconnect or Close of the client, has ended it
	clientLeft time.Time // when the client had closed it
	serverLeft bool      // the server reads no more
	cause      error     // of the client's CloseEvent
}

func (a *account) link(number int) *link {
	l := a.links[number]
	if l == nil {
		l = &link{number: number}
		a.links[number] = l
	}
	return l
}

// took is called for each packet that the client's socket has accepted.
func (a *account) took(number int, p packet) {
	defer a.lock()()
	l := a.link(number)
	l.taken = append(l.taken, p.bare())
	if p.Type != plain {
		return
	}
	m := a.plains[p.Number]
	switch {
	case m == nil:
		a.fail("plain message %d was written on connection %d, but was never sent or is settled", p.Number, number)
		return
	case m.fate != waiting:
		a.fail("plain message %d was written on connection %d after it was %s", p.Number, number, m.fate)
	case p.Number <= a.written:
		a.fail("plain message %d was written on connection %d after message %d", p.Number, number, a.written)
	}
	m.fate, a.written = taken, p.Number
}

// got is called for each packet that the server has read.
func (a *account) got(number int, p packet) {
	defer a.lock()()
	l := a.link(number)
	l.read = append(l.read, p.bare())
	if p.Type == plain {
		a.gotPlain(l, p.Number)
	} else {
		a.gotConfirmed(p.Number)
	}
}

// loggedIn is called when the server has read the login of a connection.
func (a *account) loggedIn(number int, hurt bool) {
	defer a.lock()()
	l := a.link(number)
	l.known, l.hurt = true, l.hurt || hurt
}

// harm is called before a fault of a connection.
func (a *account) harm(number int) {
	defer a.lock()()
	if l := a.links[number]; l != nil {
		l.hurt = true
	}
}

func (a *account) clientLeft(number int) {
	defer a.lock()()
	a.link(number).clientLeft = time.Now()
}

func (a *account) serverLeft(number int) {
	defer a.lock()()
	a.link(number).serverLeft = true
}

// settle checks the connections that have ended on both sides. If all is true, the run is
// over, and it checks all connections.
func (a *account) settle(all bool) {
	defer a.lock()()
	for number, l := range a.links {
		silent := !l.clientLeft.IsZero() && time.Since(l.clientLeft) > unheardOf && !l.known
		over := !l.clientLeft.IsZero() && time.Since(l.clientLeft) > time.Second && l.serverLeft
		if all || silent || over {
			a.settleLink(l)
			delete(a.links, number)
		}
	}
}

// starved reports whether this process, of which the server is a part, has hardly run while the client
// waited in vain for a sign of life.
func (a *account) starved(l *link) bool {
	return a.stalls.between(l.clientLeft.Add(-2*liveness), l.clientLeft) > liveness/2
}

// settleLink checks that the server has read a prefix of the packets that the socket accepted.
// The rest was lost when the connection broke.
func (a *account) settleLink(l *link) {
	if len(l.read) > len(l.taken) || !slices.Equal(l.read, l.taken[:len(l.read)]) {
		a.fail("the server has not read on connection %d what the socket took: %d and %d packets", l.number, len(l.read), len(l.taken))
		return
	}
	hole := l.taken[len(l.read):]
	if l.known && !l.hurt && !a.starved(l) && (len(hole) > 0 || l.cause != nil) {
		a.fail("connection %d ended with %d packets unread, and nobody had done anything to it: %v", l.number, len(hole), l.cause)
	}
	for i, p := range l.taken {
		if p.Type != plain {
			continue
		}
		if i >= len(l.read) {
			a.totals.lost++
		}
		delete(a.plains, p.Number)
	}
}
