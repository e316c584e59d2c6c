package main

import (
	"fmt"
	"sync"
	"time"
)

// An account has all that is known about one client: what the client reports, what its
// sockets have accepted (tap.go) and what the server has read. It checks each event as it is
// recorded, and forgets messages that are settled.
type account struct {
	client int
	broken func(error) // called when an invariant is broken
	stalls *stalls     // nil for none

	mu       sync.Mutex
	totals   totals
	plains   map[int]*message
	calls    map[int]*call
	links    map[int]*link
	plain    int       // number of the last plain message
	call     int       // and of the last call
	written  int       // number of the plain message that a socket accepted last
	unnamed  int       // dropped, reported by number only
	current  int       // number of the connection that opened last
	open     bool      // that connection has not ended
	heard    int       // news received on it
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

// lock locks the account, for one line at the start of each method: defer a.lock()().
func (a *account) lock() (unlock func()) {
	a.mu.Lock()
	return a.mu.Unlock
}

// totals are the counts of one client or of all.
type totals struct {
	opens, accepted, received, confirmed, returned, dropped, lost, inbound int

	refused, gaveUp, again int // not accepted; not confirmed before the deadline; confirmed messages received more than once
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

// sum returns the counts so far.
func (a *account) sum() totals {
	defer a.lock()()
	return a.totals
}

// balance checks the sums after all messages are settled.
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
