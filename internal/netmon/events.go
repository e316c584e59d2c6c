package netmon

import "time"

// events reports when the network may have changed. One goroutine calls wait; close may be called
// from another one, once.
type events interface {
	// wait waits for the next event, until the given time unless that is zero.
	wait(until time.Time) event
	// close makes wait return closed, also a call under way.
	close()
}

// An event is the result of events.wait.
type event int

const (
	touched event = iota // something may have changed
	quiet                // no event until the given time
	closed               // close was called
)

const (
	// quietFor is how long no event must come before the network is read. One real change is
	// five to ten events, a few milliseconds apart, and the state read between them is neither
	// the old one nor the new one.
	quietFor = 100 * time.Millisecond
	// quietAtMost bounds that wait where events never end, as on a machine that keeps starting
	// containers. Two readings a second are little work.
	quietAtMost = 500 * time.Millisecond
)

// settle waits, after an event, until the events have ended or the bound is reached. It returns
// false if the events have been closed.
func settle(e events) bool {
	limit := time.Now().Add(quietAtMost)
	for now := time.Now(); now.Before(limit); now = time.Now() {
		until := now.Add(quietFor)
		if until.After(limit) {
			until = limit
		}
		switch e.wait(until) {
		case quiet:
			return true
		case closed:
			return false
		}
	}
	return true
}
