package wechatws

import "time"

// networkEvents reports when the network may have changed. One goroutine calls wait; close
// may be called from another one, once.
type networkEvents interface {
	// wait waits for the next event, until the given time unless that is zero.
	wait(until time.Time) networkEvent
	// close makes wait return networkClosed, also a call under way.
	close()
}

// A networkEvent is the result of networkEvents.wait.
type networkEvent int

const (
	networkTouched networkEvent = iota // something may have changed
	networkQuiet                       // no event until the given time
	networkClosed                      // close was called
)

const (
	// networkQuietFor is how long no event must come before the network is read. One real
	// change is five to ten events, a few milliseconds apart, and the state read between
	// them is neither the old one nor the new one.
	networkQuietFor = 100 * time.Millisecond
	// networkQuietAtMost bounds that wait where events never end, as on a machine that
	// keeps starting containers. Two reads a second are little work.
	networkQuietAtMost = 500 * time.Millisecond
)

// settleNetwork waits, after an event, until the events have ended or the bound is reached. It
// returns false if events has been closed.
func settleNetwork(events networkEvents) bool {
	limit := time.Now().Add(networkQuietAtMost)
	for now := time.Now(); now.Before(limit); now = time.Now() {
		until := now.Add(networkQuietFor)
		if until.After(limit) {
			until = limit
		}
		switch events.wait(until) {
		case networkQuiet:
			return true
		case networkClosed:
			return false
		}
	}
	return true
}
