package wechatws

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/wechatws/wechatws/internal/record"
)

// Stats is a snapshot of a [Client]. Counters are cumulative since [New]. In a log and in JSON
// durations are text, such as "80ms", LastError is its text, and zero values are left out;
// JSON can be read back.
type Stats struct {
	State   State     `json:"state"`
	Since   time.Time `json:"since,omitzero"`    // when the state began, as in [StateChange]; zero before the first Connect
	Attempt int       `json:"attempt,omitzero"`  // as in [StateChange]
	RetryAt time.Time `json:"retry_at,omitzero"` // when [StateWaiting] ends unless it is cut short; zero in other states

	Attempts    int         `json:"attempts,omitzero"`    // connection attempts
	Opens       int         `json:"opens,omitzero"`       // attempts that made a connection that was open and logged in
	Disconnects Disconnects `json:"disconnects,omitzero"` // connections that had been open, by why they ended
	LastError   error       `json:"last_error,omitzero"`  // of the last failed attempt or lost connection
	LastErrorAt time.Time   `json:"last_error_at,omitzero"`

	// MessagesIn and BytesIn count messages that have arrived, and the size of their data;
	// answers to heartbeats are among them.
	MessagesIn int64 `json:"messages_in,omitzero"`
	BytesIn    int64 `json:"bytes_in,omitzero"`
	// PartialAt is when bytes last came in of a message that is incomplete; zero while
	// there is none, and with a [transport.Dialer] that does not use its Handshake's Client.
	PartialAt time.Time `json:"partial_at,omitzero"`
	// MessagesOut and BytesOut count messages of [Client.Send], [Client.Request] and
	// [Client.SendConfirmed] that a socket has taken, and the size of their data.
	MessagesOut int64 `json:"messages_out,omitzero"`
	BytesOut    int64 `json:"bytes_out,omitzero"`
	// Dropped counts messages that were given up, as in [DroppedError].
	Dropped int64 `json:"dropped,omitzero"`

	Queued      int `json:"queued,omitzero"`       // messages in the outbound queue
	QueuedBytes int `json:"queued_bytes,omitzero"` // their size
	MaxQueued   int `json:"max_queued,omitzero"`   // the most messages there ever were
	Inbox       int `json:"inbox,omitzero"`        // messages that have arrived and wait for a callback or are in one
	MaxInbox    int `json:"max_inbox,omitzero"`    // the most there ever were

	RTT         time.Duration `json:"rtt,omitzero"`          // round-trip time measured last; 0 before the first
	SmoothedRTT time.Duration `json:"smoothed_rtt,omitzero"` // weighted average in the manner of TCP
	MaxRTT      time.Duration `json:"max_rtt,omitzero"`      // the longest there ever was
}

// LogValue implements [slog.LogValuer].
func (s Stats) LogValue() slog.Value { return record.Log(s) }

// MarshalJSON implements [json.Marshaler].
func (s Stats) MarshalJSON() ([]byte, error) { return record.JSON(s) }

// UnmarshalJSON implements [json.Unmarshaler]. It takes what MarshalJSON returns. LastError
// has its text only.
func (s *Stats) UnmarshalJSON(data []byte) error { return record.Read(data, s) }

// Disconnects counts connections that had been open, by why they ended. Connections that
// [Client.Close] ended are not counted.
type Disconnects struct {
	Closed   int `json:"closed,omitzero"`    // the peer sent a close frame
	Lost     int `json:"lost,omitzero"`      // the connection broke, or ended without a close frame
	HalfOpen int `json:"half_open,omitzero"` // the peer was silent: [ErrHalfOpen]
	Protocol int `json:"protocol,omitzero"`  // invalid data from the peer: [ErrProtocol], [ErrCompression], [*ReadLimitError]
	Local    int `json:"local,omitzero"`     // [Client.Reconnect] or [Client.Disconnect] was called
}

// LogValue implements [slog.LogValuer].
func (d Disconnects) LogValue() slog.Value { return record.Log(d) }

// Total returns the sum of all counters.
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
