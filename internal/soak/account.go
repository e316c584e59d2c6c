package main

import (
	"fmt"
	"sync"
	"time"
)

// An account is all that is known of one client: what it says itself, what its
// sockets have taken (tap.go) and what the server has read. It checks each thing as
// it comes in, and forgets what is settled.
type account struct {
	client int
	broken func(error) // an invariant is

	mu       sync.Mutex
	totals   totals
	plains   map[int]*message
	calls    map[int]*call
	links    map[int]*link
	plain    int       // number of the last plain message
	call     int       // and of the last call
	written  int       // number of the plain message taken last
	unnamed  int       // dropped with notice but without a name
	current  int       // number of the connection that opened last
	open     bool      // it has not ended
	heard    int       // news on it
	shut     bool      // Close has returned, and Connect was not called again
	closes   time.Time // when Close was called, until Connect is
	lastOpen time.Time
}

func newAccount(client int, broken func(error)) *account {
	return &account{
		client: client, broken: broken, shut: true, lastOpen: time.Now(),
		plains: map[int]*message{}, calls: map[int]*call{}, links: map[int]*link{},
	}
}

func (a *account) fail(format string, args ...any) {
	a.broken(fmt.Errorf("client %d: "+format, append([]any{a.client}, args...)...))
}

// lock is for one line at the start of each method: defer a.lock()().
func (a *account) lock() (unlock func()) {
	a.mu.Lock()
	return a.mu.Unlock
}

// totals is what has been counted, of one client or of all.
type totals struct {
	opens, accepted, received, confirmed, returned, dropped, lost, inbound int

	refused, gaveUp, again int // not accepted; not confirmed before the deadline; confirmed messages received once more
}

func (t *totals) add(o totals) {
	t.opens += o.opens
	t.accepted += o.accepted
	t.received += o.received
	t.confirmed += o.confirmed
	t.returned += o.returned
	t.dropped += o.dropped
	t.lost += o.lost
	t.inbound += o.inbound
	t.refused += o.refused
	t.gaveUp += o.gaveUp
	t.again += o.again
}

// sum is what has been counted so far.
func (a *account) sum() totals {
	defer a.lock()()
	return a.totals
}

// balance checks the sums, when all is settled.
func (a *account) balance() {
	t := a.sum()
	if found := t.received + t.returned + t.dropped + t.lost; found != t.accepted {
		a.fail("%d plain messages were accepted, but %d received, %d handed back, %d dropped and %d in the hole make %d",
			t.accepted, t.received, t.returned, t.dropped, t.lost, found)
	}
	for number := range a.calls {
		a.fail("SendConfirmed for message %d has not returned", number)
	}
}
