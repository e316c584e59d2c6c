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
	RetryAt time.Time `json:"retry_at,omitzero"` // when [StateWaiting] ends at the latest; zero in other states

	Attempts    int         `json:"attempts,omitzero"`    // connection attempts
	Opens       int         `json:"opens,omitzero"`       // connections that were open and logged in
	Disconnects Disconnects `json:"disconnects,omitzero"` // connections that had been open, by the cause of their end
	LastError   error       `json:"last_error,omitzero"`  // of the last failed attempt or lost connection
	LastErrorAt time.Time   `json:"last_error_at,omitzero"`

	// MessagesIn and BytesIn count the messages that have arrived, including answers to
	// heartbeats, and the size of their data.
	MessagesIn int64 `json:"messages_in,omitzero"`
	BytesIn    int64 `json:"bytes_in,omitzero"`
	// PartialAt is when the last bytes of an incomplete message arrived; zero if there is
	// none, and with a [transport.Dialer] that does not use its Handshake's Client.
	PartialAt time.Time `json:"partial_at,omitzero"`
	// MessagesOut and BytesOut count the messages of [Client.Send], [Client.Request] and
	// [Client.SendConfirmed] that were written to a socket, and the size of their data.
	MessagesOut int64 `json:"messages_out,omitzero"`
	BytesOut    int64 `json:"bytes_out,omitzero"`
	// Dropped counts accepted messages that were dropped and reported to [Client.OnError] in
	// a [*DroppedError].
	Dropped int64 `json:"dropped,omitzero"`

	Queued      int `json:"queued,omitzero"`       // messages in the outbound queue
	QueuedBytes int `json:"queued_bytes,omitzero"` // their size
	MaxQueued   int `json:"max_queued,omitzero"`   // largest value of Queued
	Inbox       int `json:"inbox,omitzero"`        // messages that have arrived and whose callbacks have not returned
	MaxInbox    int `json:"max_inbox,omitzero"`    // largest value of Inbox

	RTT         time.Duration `json:"rtt,omitzero"`          // last measured round-trip time; 0 before the first
	SmoothedRTT time.Duration `json:"smoothed_rtt,omitzero"` // weighted average, as in TCP
	MaxRTT      time.Duration `json:"max_rtt,omitzero"`      // largest value of RTT
}

// LogValue implements [slog.LogValuer].
func (s Stats) LogValue() slog.Value { return record.Log(s) }

// MarshalJSON implements [json.Marshaler].
func (s Stats) MarshalJSON() ([]byte, error) { return record.JSON(s) }

// UnmarshalJSON implements [json.Unmarshaler]. It accepts what MarshalJSON returns; LastError
// then has nothing but its text.
func (s *Stats) UnmarshalJSON(data []byte) error { return record.Read(data, s) }

// Disconnects counts connections that had been open, by the cause of their end. Connections
// that [Client.Close] ended are not counted.
type Disconnects struct {
	Closed   int `json:"closed,omitzero"`    // the peer sent a close frame
	Lost     int `json:"lost,omitzero"`      // the connection broke, or ended without a close frame
	HalfOpen int `json:"half_open,omitzero"` // the peer was silent: [ErrHalfOpen]
	Protocol int `json:"protocol,omitzero"`  // the peer sent invalid data: [ErrProtocol], [ErrCompression], [*ReadLimitError]
	Local    int `json:"local,omitzero"`     // [Client.Reconnect] or [Client.Disconnect] was called
}

// LogValue implements [slog.LogValuer].
func (d Disconnects) LogValue() slog.Value { return record.Log(d) }

// Total returns the sum of all counters.
func (d Disconnects) Total() int { return d.Closed + d.Lost + d.HalfOpen + d.Protocol + d.Local }

// add adds the counters of more.
func (d *Disconnects) add(more Disconnects) {
	d.Closed += more.Closed
	d.Lost += more.Lost
	d.HalfOpen += more.HalfOpen
	d.Protocol += more.Protocol
	d.Local += more.Local
}

// count counts a connection that ended because of cause.
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

// moved records a change of the state.
func (s *Stats) moved(change StateChange) {
	s.Since, s.RetryAt = change.At, time.Time{}
	switch change.To {
	case StateWaiting:
		s.RetryAt = s.Since.Add(change.RetryIn)
		s.LastError, s.LastErrorAt = change.Err, s.Since
	case StateFailed:
		s.LastError, s.LastErrorAt = change.Err, s.Since
	default: // the error of another one is the end of a context
	}
}

// Stats returns a snapshot of the client. It does not block, may be called from any goroutine
// and in any callback, and costs little enough for a call every second.
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

// gone is called when l has ended.
func (c *Client) gone(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest == l {
		c.newest = nil
	}
}

// roundTrips has the measured round-trip times.
type roundTrips struct {
	mu                    sync.Mutex // guards the fields below
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
