package wechatws

import (
	"errors"
	"sync"
	"time"
)

// Stats is a snapshot of a Client. What counts, counts since New.
type Stats struct {
	State   State
	Since   time.Time // when the state began, as in StateChange; zero before the first Connect
	Attempt int       // as in StateChange
	RetryAt time.Time // when StateWaiting ends unless it is cut short; zero in other states

	Attempts    int         // connection attempts
	Opens       int         // those that ended in a connection that was open and logged in
	Disconnects Disconnects // connections that had been open, by why they ended
	LastError   error       // of the attempt that failed last, or of the connection that was dropped last
	LastErrorAt time.Time

	// Messages that have arrived, and the size of their data; answers to heartbeats
	// are among them.
	MessagesIn, BytesIn int64
	// PartialAt is when bytes last came in of a message that is incomplete; zero while
	// there is none, and with a Dialer whose connections the client cannot see into.
	PartialAt time.Time
	// Messages of Send, Request and SendConfirmed that a socket has taken, and the
	// size of their data.
	MessagesOut, BytesOut int64
	// Messages that were given up, as told by DroppedError.
	Dropped int64

	Queued      int // messages in the outbound queue
	QueuedBytes int // their size
	MaxQueued   int // the most messages there ever were
	Inbox       int // messages that have arrived and wait for a callback or are in one
	MaxInbox    int // the most there ever were

	RTT         time.Duration // round-trip time measured last; 0 before the first
	SmoothedRTT time.Duration // weighted average in the manner of TCP
	MaxRTT      time.Duration
}

// Disconnects counts connections that had been open, by why they ended. Those that Close
// ended are not among them.
type Disconnects struct {
	Closed   int // the peer sent a close frame
	Lost     int // the connection broke, or ended without a close frame
	HalfOpen int // the peer had gone silent: ErrHalfOpen
	Protocol int // what came was not to be taken: ErrProtocol, ErrCompression, *ReadLimitError
	Local    int // Reconnect or Disconnect asked for it
}

// Total is all of them.
func (d Disconnects) Total() int { return d.Closed + d.Lost + d.HalfOpen + d.Protocol + d.Local }

func (d *Disconnects) count(cause *CloseError) {
	limit := (*ReadLimitError)(nil)
	switch err := cause.Err; {
	case errors.Is(err, ErrHalfOpen):
		d.HalfOpen++
	case errors.Is(err, ErrProtocol), errors.Is(err, ErrCompression), errors.As(err, &limit):
		d.Protocol++
	case cause.requested:
		d.Local++
	case cause.Remote && cause.Err == nil:
		d.Closed++
	default:
		d.Lost++
	}
}

// moved notes a move of the state machine.
func (s *Stats) moved(change StateChange) {
	s.Since, s.RetryAt = change.At, time.Time{}
	if change.To == StateWaiting {
		s.RetryAt = s.Since.Add(change.RetryIn)
	}
	if change.Err != nil {
		s.LastError, s.LastErrorAt = change.Err, s.Since
	}
}

// Stats returns a snapshot, cheap enough to be taken every second. It does not block
// and may be called from anywhere.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	s := c.stats
	s.State, s.Attempt = c.state, c.attempt
	if c.newest != nil {
		s.PartialAt = c.newest.partial()
	}
	c.mu.Unlock()
	c.queue.stats(&s)
	c.dispatcher.stats(&s)
	c.rtt.stats(&s)
	s.MessagesIn, s.BytesIn = c.messagesIn.Load(), c.bytesIn.Load()
	s.Dropped = c.droppedCount.Load()
	return s
}

// gone is called when a connection has ended.
func (c *Client) gone(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest == l {
		c.newest = nil
	}
}

// roundTrips keeps measured round-trip times.
type roundTrips struct {
	mu                    sync.Mutex
	last, smoothed, worst time.Duration
}

func (r *roundTrips) add(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.worst = d, max(d, r.worst)
	if r.smoothed == 0 {
		r.smoothed = d
	} else {
		r.smoothed += (d - r.smoothed) / 8
	}
}

func (r *roundTrips) stats(s *Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.RTT, s.SmoothedRTT, s.MaxRTT = r.last, r.smoothed, r.worst
}
