package wechatws

import "time"

// networkEvents tells when the network may have changed. wait is for one
// goroutine; close may be called from another one, once.
type networkEvents interface {
	// wait waits for the next event, at most until then unless that is zero.
	wait(until time.Time) networkEvent
	// close makes wait return networkClosed, also one under way.
	close()
}

// A networkEvent is the result of waiting for one.
type networkEvent int

const (
	networkTouched networkEvent = iota // something may have changed
	networkQuiet                       // nothing did, as far as is known
	networkClosed
)

const (
	// networkQuietFor is how long events must be absent before the network is
	// looked at. One real change is five to ten events, a few milliseconds apart,
	// and what can be read between them is neither the old state nor the new one.
	networkQuietFor = 100 * time.Millisecond
	// networkQuietAtMost bounds that where events never end, as on a machine that
	// keeps starting containers: half a second is little to wait for a network,
	// and two looks a second are little work.
	networkQuietAtMost = 500 * time.Millisecond
)

// settleNetwork waits, after an event, until the network is worth looking at. It
// reports false when events has been closed.
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
