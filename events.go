package wechatws

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

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
	StateIdle:       {StateConnecting, StateOffline, StateClosed},
	StateConnecting: {StateOpen, StateConnecting, StateWaiting, StateOffline, StateClosed, StateFailed},
	StateOpen:       {StateConnecting, StateWaiting, StateOffline, StateClosed, StateFailed},
	StateWaiting:    {StateConnecting, StateOffline, StateClosed},
	StateOffline:    {StateConnecting, StateClosed},
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
