package wechatws

import (
	"sync"
	"time"
)

// Stats is a snapshot of a Client.
type Stats struct {
	State       State
	Attempt     int           // as in StateChange
	Opens       int           // connections that were open and logged in, since New
	Queued      int           // messages in the outbound queue
	QueuedBytes int           // their size
	Inbox       int           // messages that have arrived and wait for a callback or are in one
	RTT         time.Duration // round-trip time measured last; 0 before the first
	SmoothedRTT time.Duration // weighted average in the manner of TCP
}

// Stats returns a snapshot. It does not block and may be called from anywhere.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	s := Stats{State: c.state, Attempt: c.attempt, Opens: c.opens}
	c.mu.Unlock()
	s.Queued, s.QueuedBytes = c.queue.size()
	s.Inbox = c.dispatcher.depth()
	s.RTT, s.SmoothedRTT = c.rtt.get()
	return s
}

// roundTrips keeps measured round-trip times.
type roundTrips struct {
	mu             sync.Mutex
	last, smoothed time.Duration
}

func (r *roundTrips) add(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = d
	if r.smoothed == 0 {
		r.smoothed = d
	} else {
		r.smoothed += (d - r.smoothed) / 8
	}
}

func (r *roundTrips) get() (last, smoothed time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.smoothed
}
