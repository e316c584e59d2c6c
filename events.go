package wechatws

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// State is where a Client is in its life.
type State int

// The states. Idle is before the first Connect; Closed and Failed are terminal,
// until Connect starts afresh.
const (
	StateIdle       State = iota // made by New, never connected
	StateConnecting              // an attempt is under way
	StateOpen                    // connected and logged in
	StateWaiting                 // waiting for the next attempt
	StateOffline                 // no network; waiting for it
	StateClosed                  // ended by Close, or by the context of Connect or Run
	StateFailed                  // ended by a permanent error, or by the end of the schedule
)

func (s State) String() string {
	names := [...]string{"idle", "connecting", "open", "waiting", "offline", "closed", "failed"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return names[s]
}

// terminal tells whether nothing moves any more until the next Connect.
func (s State) terminal() bool { return s == StateClosed || s == StateFailed }

// legalMoves is the whole state machine: from each state, where it may go.
var legalMoves = map[State][]State{
	StateIdle:       {StateConnecting, StateOffline, StateClosed},
	StateConnecting: {StateOpen, StateConnecting, StateWaiting, StateOffline, StateClosed, StateFailed},
	StateOpen:       {StateConnecting, StateWaiting, StateOffline, StateClosed, StateFailed},
	StateWaiting:    {StateConnecting, StateOffline, StateClosed},
	StateOffline:    {StateConnecting, StateClosed},
	StateClosed:     {StateConnecting, StateOffline, StateClosed}, // itself: closed again before anything was tried
	StateFailed:     {StateConnecting, StateOffline, StateClosed},
}

func (s State) mayBecome(to State) bool { return slices.Contains(legalMoves[s], to) }

// A StateChange is one move of the state machine.
type StateChange struct {
	From, To State
	// At is when it happened. A callback may be told later.
	At time.Time
	// Attempt is the number of the attempt that is made, was made or comes
	// next: 1 is the first one after Connect or after a stable connection.
	Attempt int
	// RetryIn is how long StateWaiting lasts unless it is cut short.
	RetryIn time.Duration
	// Err is the cause of a move to Waiting, Failed or Closed; nil after Close.
	Err error

	session int // the session's number; that of the next one when there is none
}

// An OpenEvent is a connection that is open and logged in.
type OpenEvent struct {
	Connection  int         // its number, as in Message
	Attempt     int         // as in StateChange
	Header      http.Header // of the handshake's response
	Subprotocol string      // the one the server chose, if any
	Timings     Timings
}

// Timings says where the time of a connection attempt went, like the profile of
// wx's onOpen. A step that did not happen, such as TLS for a ws URL, is zero.
type Timings struct {
	Endpoint  time.Duration // the function of [WithEndpoint], before Start
	Start     time.Time     // when dialing started
	Resolve   time.Duration // DNS
	Connect   time.Duration // TCP
	TLS       time.Duration // TLS handshake
	Handshake time.Duration // from the request written to the server's answer
	Total     time.Duration // from Start to the server's answer
	Login     time.Duration // the function of [WithLogin] and the write, after Total
	Setup     time.Duration // the functions of [Client.AfterConnect], after Login
}

// A CloseEvent is the end of a connection that had been open.
type CloseEvent struct {
	Connection int        // its number, as in Message
	Code       StatusCode // see CloseError
	Reason     string     // see CloseError; may hold secrets
	Remote     bool       // the peer ended it
	Err        error      // why; nil after Close
}
