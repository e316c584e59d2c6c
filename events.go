package wechatws

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/internal/printable"
	"github.com/wechatws/wechatws/internal/record"
)

// State is the state of a [Client]. [Client.State] returns it, and [Client.OnStateChange]
// reports its changes.
type State int

// The states. StateClosed and StateFailed are terminal: only [Client.Connect] and
// [Client.Run] leave them.
const (
	StateIdle       State = iota // made by New, never connected
	StateConnecting              // an attempt is under way
	StateOpen                    // connected and logged in
	StateWaiting                 // waiting for the next attempt
	StateOffline                 // waiting for the network
	StateClosed                  // ended by Close, CloseNow, Shutdown, or the context of Connect or Run
	StateFailed                  // ended by a permanent error, or by the end of the schedule
)

var stateNames = []string{"idle", "connecting", "open", "waiting", "offline", "closed", "failed"}

// String returns the state in lower case, such as "open".
func (s State) String() string { return nameOf(s, "State", stateNames) }

// MarshalText implements [encoding.TextMarshaler], with what String returns.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It accepts what MarshalText returns.
func (s *State) UnmarshalText(text []byte) error { return setNamed(s, text, "state", stateNames) }

// terminal reports whether the state stays until the next Connect.
func (s State) terminal() bool { return s == StateClosed || s == StateFailed }

// legalMoves is the state machine: the states that may follow each state.
var legalMoves = map[State][]State{
	StateIdle:       {StateConnecting, StateOffline, StateClosed, StateFailed},
	StateConnecting: {StateOpen, StateConnecting, StateWaiting, StateOffline, StateClosed, StateFailed},
	StateOpen:       {StateConnecting, StateWaiting, StateOffline, StateClosed, StateFailed},
	StateWaiting:    {StateConnecting, StateOffline, StateClosed, StateFailed},
	StateOffline:    {StateConnecting, StateClosed, StateFailed},
	StateClosed:     {StateConnecting, StateOffline, StateClosed}, // itself: closed again before the first attempt
	StateFailed:     {StateConnecting, StateOffline, StateClosed},
}

func (s State) mayBecome(to State) bool { return slices.Contains(legalMoves[s], to) }

// A StateChange is a change of a client's [State].
type StateChange struct {
	From State `json:"from"`
	To   State `json:"to"`
	// At is when the state changed. Callbacks run later when others run before them.
	At time.Time `json:"at"`
	// Attempt is the number of the attempt that is under way, has ended or comes next: 1 is
	// the first one after [Client.Connect] or after a stable connection ([WithStableAfter]).
	Attempt int `json:"attempt"`
	// RetryIn is how long [StateWaiting] lasts unless [Client.Reconnect] or a change of the
	// network ends it; zero in other states.
	RetryIn time.Duration `json:"retry_in,omitzero"`
	// Err is the cause of a change to [StateWaiting], [StateFailed] or [StateClosed]; nil
	// after [Client.Close].
	Err error `json:"err,omitzero"`

	session int // the session's number; that of the next one if there is none
}

// LogValue implements [slog.LogValuer].
func (e StateChange) LogValue() slog.Value { return record.Log(e) }

// MarshalJSON implements [json.Marshaler].
func (e StateChange) MarshalJSON() ([]byte, error) { return record.JSON(e) }

// An OpenEvent is a connection that is open and logged in. Printed, in a log and in JSON it has
// neither Header nor Subprotocol, in which servers repeat secrets.
type OpenEvent struct {
	Connection  int         `json:"connection"` // its number, as in [Message]
	Attempt     int         `json:"attempt"`    // as in [StateChange]
	Header      http.Header `json:"-"`          // of the handshake's response
	Subprotocol string      `json:"-"`          // the one that the server has chosen, if any
	Timings     Timings     `json:"timings,omitzero"`
	// URL is the scheme and the host of the server, after redirects.
	URL string `json:"url,omitzero"`
}

// LogValue implements [slog.LogValuer].
func (e OpenEvent) LogValue() slog.Value { return record.Log(e) }

// MarshalJSON implements [json.Marshaler].
func (e OpenEvent) MarshalJSON() ([]byte, error) { return record.JSON(e) }

// Timings has the duration of each phase of a connection attempt, like the profile of
// wx's onOpen. A phase that did not happen, such as TLS for a ws URL, is zero. In a log and
// in JSON durations are text, such as "1.5s".
type Timings struct {
	Endpoint  time.Duration `json:"endpoint,omitzero"`  // the function of [WithEndpoint], before Start
	Start     time.Time     `json:"start"`              // when dialing started
	Resolve   time.Duration `json:"resolve,omitzero"`   // DNS
	Connect   time.Duration `json:"connect,omitzero"`   // TCP
	TLS       time.Duration `json:"tls,omitzero"`       // TLS handshake
	Handshake time.Duration `json:"handshake,omitzero"` // from the request written to the server's answer
	Total     time.Duration `json:"total,omitzero"`     // from Start to the server's answer
	Login     time.Duration `json:"login,omitzero"`     // the function of [WithLogin] and the write, after Total
	Setup     time.Duration `json:"setup,omitzero"`     // the functions of [Client.AfterConnect], after Login
}

// LogValue implements [slog.LogValuer].
func (t Timings) LogValue() slog.Value { return record.Log(t) }

// MarshalJSON implements [json.Marshaler].
func (t Timings) MarshalJSON() ([]byte, error) { return record.JSON(t) }

// A CloseEvent is the end of a connection that had been open. Printed, in a log and in JSON it
// has no Reason.
type CloseEvent struct {
	Connection int        `json:"connection"`   // its number, as in [Message]
	Code       StatusCode `json:"code"`         // as in [CloseError]
	Reason     string     `json:"-"`            // as in [CloseError]; may hold secrets
	Remote     bool       `json:"remote"`       // the peer ended the connection
	Err        error      `json:"err,omitzero"` // the cause, mostly a [*CloseError]; nil after [Client.Close]
}

// LogValue implements [slog.LogValuer].
func (e CloseEvent) LogValue() slog.Value { return record.Log(e) }

// MarshalJSON implements [json.Marshaler].
func (e CloseEvent) MarshalJSON() ([]byte, error) { return record.JSON(e) }

// nameOf returns the name of one of an enumeration's values, which count from zero.
func nameOf[T ~int](v T, typ string, names []string) string {
	if v < 0 || int(v) >= len(names) {
		return fmt.Sprintf("%s(%d)", typ, int(v))
	}
	return names[v]
}

// setNamed sets v to the value with the name that text is.
func setNamed[T ~int](v *T, text []byte, what string, names []string) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		last := len(names) - 1
		return fmt.Errorf("wechatws: %s %s: must be %s or %s", what, printable.Quote(string(text)), strings.Join(names[:last], ", "), names[last])
	}
	*v = T(i)
	return nil
}

// Stats is a snapshot of a [Client]. Counters are cumulative since [New]. In a log and in JSON
// durations are text, such as "80ms", LastError is its text, and zero values are left out;
// JSON can be read back.
type Stats struct {
	State   State     `json:"state"`
	Since   time.Time `json:"since,omitzero"`    // when the state began, as in [StateChange]; zero before the first Connect
	Attempt int       `json:"attempt,omitzero"`  // as in [StateChange]
	RetryAt time.Time `json:"retry_at,omitzero"` // when [StateWaiting] ends at the latest; zero in other states
	// AwaySince is since when the client is not open, whatever states it has been in since; zero
	// while it is open and before the first Connect. A Connect after the end begins anew.
	AwaySince time.Time `json:"away_since,omitzero"`

	Attempts    int         `json:"attempts,omitzero"`    // connection attempts
	Opens       int         `json:"opens,omitzero"`       // connections that were open and logged in
	Disconnects Disconnects `json:"disconnects,omitzero"` // connections that had been open, by the cause of their end
	LastError   error       `json:"last_error,omitzero"`  // of the last failed attempt or lost connection
	LastErrorAt time.Time   `json:"last_error_at,omitzero"`

	// MessagesIn and BytesIn count the messages that have arrived, including answers to
	// heartbeats, and the size of their data; with [WithUnpack] those that came out of them.
	MessagesIn int64 `json:"messages_in,omitzero"`
	BytesIn    int64 `json:"bytes_in,omitzero"`
	// Skipped counts those of them that were larger than the read limit, were skipped and
	// reported to [Client.OnError] in a [*ReadLimitError].
	Skipped int64 `json:"skipped,omitzero"`
	// ReceivedAt is when bytes last arrived on the newest connection, of whatever kind; zero without
	// a connection. With a [transport.Dialer] that does not use its Handshake's Client it is when a
	// message or a pong did.
	ReceivedAt time.Time `json:"received_at,omitzero"`
	// PartialAt is when the last bytes of an incomplete message arrived; zero if there is
	// none, and with a [transport.Dialer] that does not use its Handshake's Client.
	PartialAt time.Time `json:"partial_at,omitzero"`
	// TakenAt is when the peer last took some of the bytes that had waited for it for a second, as it
	// does on a slow link: what it sends may be the answer to something earlier. On Linux it takes
	// bytes by acknowledging them, elsewhere the socket takes them. It is seen at a heartbeat, at a ping,
	// and when Stats is called. Zero if none were seen on the newest connection, and with such a Dialer.
	TakenAt time.Time `json:"taken_at,omitzero"`
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
	Protocol int `json:"protocol,omitzero"`  // the peer sent invalid data: [ErrProtocol], [*ReadLimitError]
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
	case errors.Is(err, ErrProtocol), errors.As(err, &limit):
		d.Protocol++
	case cause.requested:
		d.Local++
	case cause.Remote && cause.Code != StatusAbnormalClosure:
		d.Closed++
	default:
		d.Lost++
	}
}

// history is the part of Stats that the client's mutex guards.
type history struct {
	state       State
	attempt     int
	since       time.Time
	retryAt     time.Time
	awaySince   time.Time
	attempts    int
	opens       int
	disconnects Disconnects
	lastError   error
	lastErrorAt time.Time
}

// stats returns Stats without what is counted elsewhere.
func (h *history) stats() Stats {
	return Stats{
		State: h.state, Since: h.since, Attempt: h.attempt, RetryAt: h.retryAt, AwaySince: h.awaySince,
		Attempts: h.attempts, Opens: h.opens, Disconnects: h.disconnects, LastError: h.lastError, LastErrorAt: h.lastErrorAt,
	}
}

// moved records a change of the state.
func (h *history) moved(change StateChange) {
	switch begins := change.From == StateIdle || change.From.terminal(); {
	case change.To == StateOpen:
		h.awaySince = time.Time{}
	case change.From == StateOpen, begins && !change.To.terminal():
		h.awaySince = change.At
	}
	h.state, h.attempt = change.To, change.Attempt
	h.since, h.retryAt = change.At, time.Time{}
	switch change.To {
	case StateWaiting:
		h.retryAt = h.since.Add(change.RetryIn)
		h.lastError, h.lastErrorAt = change.Err, h.since
	case StateFailed:
		h.lastError, h.lastErrorAt = change.Err, h.since
	default: // the error of another one is the end of a context
	}
}

// Stats returns a snapshot of the client. It does not block, may be called from any goroutine
// and in any callback, and costs little enough for a call every second.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	s := c.history.stats()
	if l := c.newest; l != nil {
		s.ReceivedAt, s.PartialAt, s.TakenAt = l.received(), l.partial(), l.taken()
	}
	c.mu.Unlock()
	queued := c.outbox.Stats()
	s.Queued, s.QueuedBytes, s.MaxQueued = queued.Messages, queued.Bytes, queued.Most
	s.MessagesOut, s.BytesOut = c.messagesOut.Load(), c.bytesOut.Load()
	s.Inbox, s.MaxInbox = c.inbox.Count()
	c.rtt.stats(&s)
	s.MessagesIn, s.BytesIn = c.messagesIn.Load(), c.bytesIn.Load()
	s.Skipped, s.Dropped = c.skipped.Load(), c.droppedCount.Load()
	return s
}

// Healthy reports whether the client is open, or has not been open for no longer than limit, whatever
// states it goes through meanwhile (see [Stats].AwaySince). It is for health checks: an outage of a
// few seconds is part of the life of a client, and one of some minutes is not.
// Before the first Connect it is true. After the end of the client it becomes false, too, when limit
// has passed. Healthy does not block, and may be called from any goroutine.
func (c *Client) Healthy(limit time.Duration) bool {
	c.mu.Lock()
	away := c.history.awaySince
	c.mu.Unlock()
	return away.IsZero() || time.Since(away) <= limit
}

// counters count since New.
type counters struct {
	messagesIn, bytesIn, skipped, messagesOut, bytesOut, droppedCount atomic.Int64
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

// String returns the connection's number, the attempt's and how long it took, such as
// "connection 3 is open: attempt 2, 80ms".
func (e OpenEvent) String() string {
	return fmt.Sprintf("connection %d is open: attempt %d, %v", e.Connection, e.Attempt, e.Timings.Total)
}

// GoString implements [fmt.GoStringer], with what String returns.
func (e OpenEvent) GoString() string { return "wechatws.OpenEvent(" + e.String() + ")" }

// String returns the connection's number and why it has ended, such as "connection 3 has ended:
// peer closed the connection: close code 1001 (going away)".
func (e CloseEvent) String() string {
	why := fmt.Sprintf("close code %v", e.Code)
	if e.Err != nil {
		why = because(e.Err)
	}
	return fmt.Sprintf("connection %d has ended: %s", e.Connection, why)
}

// GoString implements [fmt.GoStringer], with what String returns.
func (e CloseEvent) GoString() string { return "wechatws.CloseEvent(" + e.String() + ")" }

// The errors below have fields with data of the server, and causes of any type, which may hold
// such data too. In JSON they are their text, as in Stats and in events. Their methods have value
// receivers, for an error that is printed without its pointer.

// GoString implements [fmt.GoStringer], with the text of Error.
func (e DialError) GoString() string { return goString("DialError", &e) }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e DialError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// GoString implements [fmt.GoStringer], with the text of Error.
func (e HandshakeError) GoString() string { return goString("HandshakeError", &e) }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e HandshakeError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// GoString implements [fmt.GoStringer], with the text of Error.
func (e CloseError) GoString() string { return goString("CloseError", &e) }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e CloseError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// GoString implements [fmt.GoStringer], with the text of Error.
func (e DecodeError) GoString() string { return goString("DecodeError", &e) }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e DecodeError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

func goString(name string, err error) string {
	return "&wechatws." + name + "(" + because(err) + ")"
}
