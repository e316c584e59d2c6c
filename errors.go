package wechatws

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/peek"
	"github.com/wechatws/wechatws/internal/printable"
)

// Sentinel errors, for [errors.Is]. They may be wrapped by errors with more detail.
var (
	// ErrAlreadyConnected is returned by [Client.Connect] and [Client.Run] while the client
	// is connected or connecting. In the original the text is "already logged in".
	ErrAlreadyConnected = errors.New("wechatws: already connected or connecting")

	// ErrClosed is returned by [Client.Send], [Client.Flush], [Client.Request] and
	// [Client.Reconnect] once the client is closed or has failed; Flush returns nil if nothing
	// is queued. After a failure it wraps the cause.
	ErrClosed = errors.New("wechatws: client is closed")

	// ErrMessageTooBig means that sending the message again cannot succeed. It is wrapped,
	// together with [ErrQueueFull], by the error of a message that is larger than the whole
	// outbound queue, and together with [ErrRefused] by the [*DroppedError] of a message that
	// the peer refuses with close code 1009.
	ErrMessageTooBig = errors.New("message is too big")

	// ErrRefused means that the peer refuses a message, so that sending it again would end every
	// further connection. The client drops the message with a [*DroppedError] that wraps
	// ErrRefused, and sends the messages behind it.
	//
	// The peer refuses a message if it closes two connections with 1003, 1007 or 1009
	// ([StatusUnsupportedData], [StatusInvalidFramePayloadData], [StatusMessageTooBig]) while the
	// message is being written or waits for its confirmation. On the second connection the client
	// writes nothing else for a second before and after the message; while the inbox is full, other
	// messages wait for up to a minute.
	//
	// A peer also closes with 1008 ([StatusPolicyViolation]) because of the client: a rate limit,
	// an expired token. So with 1008 a message is dropped only after it has been refused alone, as
	// on that second connection, three times in a row and over at least the time of
	// [WithPermanentAfter]; the messages behind it wait until then. [Client.Request] returns the
	// error after the first time.
	ErrRefused = errors.New("wechatws: message refused by the peer")

	// ErrNotOpen is returned by the methods that need an open connection, and by Send and Request
	// without one if the message must not wait for it: with [FailFast], or without a queue ([WithQueue]).
	ErrNotOpen = errors.New("wechatws: not open")

	// ErrQueueFull is returned by [Client.Send], [Client.Request] and
	// [Client.SendConfirmed] if the message does not fit into the outbound queue, and is
	// the cause in the [*DroppedError] of [QueueDropOldest].
	ErrQueueFull = errors.New("wechatws: outbound queue is full")

	// ErrExpired is the cause in the [*DroppedError] of a message that was not written
	// within its [ExpireAfter]. Request and SendConfirmed return it.
	ErrExpired = errors.New("wechatws: message has expired")

	// ErrConnectionLost is returned by [Client.Request] when the connection ended after
	// the request was written and before its answer came.
	ErrConnectionLost = errors.New("wechatws: connection lost before the answer came")

	// ErrInboxFull is returned by a [Client.Request] in a callback if its answer cannot be
	// read, because the inbox is full of messages that wait for that callback to return.
	// Make the request from another goroutine.
	ErrInboxFull = errors.New("wechatws: inbox is full and waits for the callback that waits for this answer")

	// ErrHalfOpen is the cause of a disconnect if the peer has shown no life for the timeout of
	// [WithLiveness], or for half of it after a probe; see [Liveness].
	ErrHalfOpen = errors.New("wechatws: peer is silent, connection is half-open")

	// ErrProtocol is the cause of a disconnect if the peer violates the WebSocket protocol:
	// reserved bits, unknown opcodes, masked frames, control frames that are too long, close
	// codes that must not be sent. The client sends a close frame with [StatusProtocolError], or
	// with [StatusInvalidFramePayloadData] for text that is not UTF-8 ([WithStrict]) and for
	// messages that cannot be decompressed ([WithCompression]). The error's text has the details.
	ErrProtocol = errors.New("wechatws: peer breaks the WebSocket protocol")

	// ErrReconnect is the cause of a disconnect by [Client.Reconnect].
	ErrReconnect = errors.New("wechatws: reconnect requested")

	// ErrNotUTF8 is wrapped by the errors about text that is not valid UTF-8: inbound, in a
	// [*DecodeError], with [WithStrict] in a [*CloseError]; outbound, of a [Text] for example.
	ErrNotUTF8 = errors.New("text is not valid UTF-8")

	// ErrNoType is wrapped by the [*DecodeError] about a message without a type, binary or with no
	// string, number or boolean where [WithTypeField] expects it, that nothing took: no
	// [Client.OnMessage] or [Client.OnUnknown] callback, [Client.Request], [Client.SendConfirmed]
	// or [Setup.Receive]. The text says what is there instead, and which option would help.
	ErrNoType = peek.ErrNoType

	// ErrNotJSON is wrapped by the [*DecodeError] about a text message that is not one JSON
	// value, and that nothing took; see [ErrNoType].
	ErrNotJSON = peek.ErrNotJSON
)

// An OptionError is a wrong option or argument. [New] joins all of them with [errors.Join].
type OptionError struct {
	Option string // the option's or argument's name, such as "WithDialTimeout"
	Value  string // the value; secrets are left out
	Want   string // what would be right
}

// Error returns the name, the value and what would be right.
func (e *OptionError) Error() string {
	return fmt.Sprintf("wechatws: %s(%s): %s", cmp.Or(e.Option, "option"), e.Value, cmp.Or(e.Want, "invalid value"))
}

// The phases of an attempt, in their order.
const (
	phaseBefore    = "before"
	phaseEndpoint  = "endpoint"
	phaseProxy     = "proxy"
	phaseResolve   = "resolve"
	phaseConnect   = "connect"
	phaseTLS       = "tls"
	phaseHandshake = "handshake"
	phaseLogin     = "login"
	phaseSetup     = "setup"
)

// A DialError is a connection attempt that has failed, with the phase in which it failed. Its
// text has the server's host and port, and never a path, query, user info or header value. Invalid
// data from the peer in it, such as a malformed status line, is cut at 200 bytes, with control
// characters escaped. In JSON and with %#v it is its text.
//
// [errors.Is] and [errors.As] find all errors below Err. [errors.Unwrap] reaches the errors
// below Err only if Err comes from one of the program's functions, so that a program that
// prints each error of a chain prints no secret.
type DialError struct {
	// Phase is the phase that failed, in this order: "before" (a [Client.BeforeConnect]
	// function), "endpoint" (the function of [WithEndpoint]), "proxy" (choosing or reaching
	// the proxy), "resolve" (DNS), "connect"
	// (TCP), "tls" (handshake and certificates), "handshake" (the HTTP upgrade), "login"
	// (making or writing the login message) or "setup" (a [Client.AfterConnect] function).
	Phase string
	Addr  string // host:port in the phases from "proxy" to "handshake"; otherwise empty
	Err   error  // the cause

	text string // Err's text without secrets; empty in an error that a user makes
}

// Error returns the phase, the address and the cause.
func (e *DialError) Error() string {
	at := ""
	if e.Addr != "" {
		at = " " + e.Addr
	}
	text := e.text
	if text == "" {
		text = because(e.Err)
	}
	return fmt.Sprintf("wechatws: %s%s: %s", cmp.Or(e.Phase, "dial"), at, text)
}

// Unwrap returns Err.
func (e *DialError) Unwrap() error { return e.Err }

// A networkError is the cause of a *DialError, with a text without secrets. It has no Unwrap:
// the texts of the errors below contain URLs, and data of the peer of any length.
type networkError struct {
	text string
	err  error
}

func (e *networkError) Error() string        { return e.text }
func (e *networkError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *networkError) As(target any) bool   { return errors.As(e.err, target) }
func (e *networkError) hidden() error        { return e.err }

// A HandshakeError is a server's response to the handshake that is not a valid upgrade. It is
// wrapped by a [*DialError]; use [errors.As]. Its text has the status and, for an invalid
// upgrade and for a server with TLS, the reason. Header and Body are not part of the text, unless
// [WithServerText] adds the body: a server's page often repeats the token that it refuses. In JSON
// and with %#v it is its text.
type HandshakeError struct {
	Status int         // HTTP status; 101 if the upgrade itself is invalid
	Header http.Header // of the response; may hold secrets such as cookies
	Body   []byte      // of the response, up to 1 KiB; may hold secrets
	// RetryAfter is that of a 429 or 503, at most 10 minutes; zero if there is none. A date is
	// read against the Date of the response.
	RetryAfter time.Duration

	detail string // why the upgrade is invalid or refused, without secrets
	said   string // see config.says
	cause  error  // errCompression, http.ErrSchemeMismatch or nil
}

// Error returns the status, why an upgrade is invalid or refused, and the body with
// [WithServerText].
func (e *HandshakeError) Error() string {
	text := "server answered " + statusText(e.Status)
	if e.detail != "" {
		text += ": " + e.detail
	}
	return text + e.said
}

// Unwrap returns an [ErrProtocol] if the server has answered the offer of compression wrongly
// ([WithCompression]), [http.ErrSchemeMismatch] if it is one with TLS and the URL is ws, and nil
// otherwise.
func (e *HandshakeError) Unwrap() error { return e.cause }

// A ProxyError is a proxy's refusal to make a tunnel to the server. It is wrapped by a
// [*DialError] of phase "proxy"; use [errors.As].
type ProxyError struct {
	Status int // HTTP status; 407 if it requires credentials, which belong in the proxy's URL

	said string // see config.says
}

// Error returns the status, and the response's body with [WithServerText].
func (e *ProxyError) Error() string { return "proxy answered " + statusText(e.Status) + e.said }

// A CloseError is the end of a connection. Its text has the code, the cause, cut at 200 bytes, and
// with [WithServerText] the reason. In JSON and with %#v it is its text.
type CloseError struct {
	// Code is the close code, [StatusNoStatusRcvd] for a close frame without one, and
	// [StatusAbnormalClosure] if there was no close frame. If the peer has sent invalid data
	// or a message that is too large, Code is what the client sends: [StatusProtocolError],
	// [StatusInvalidFramePayloadData] or [StatusMessageTooBig].
	Code StatusCode
	// Reason is the close frame's text; bytes that are not valid UTF-8 are replaced by U+FFFD.
	// Do not log it: servers repeat in it the token that they refuse.
	Reason string
	// Remote reports whether the peer ended the connection.
	Remote bool
	// Err is the cause, such as [io.EOF] or [ErrHalfOpen]. After a close frame it is nil, or
	// says which message the peer may have refused with the codes 1003, 1007, 1008 and 1009: the
	// login and the messages of [Client.AfterConnect] and [Client.Keep], if nothing else was
	// written, or a heartbeat or messages of Keep, if they were written last.
	Err error

	requested bool      // by Reconnect or Disconnect
	tried     bool      // the peer refuses the message on trial, see refused.go
	said      string    // see config.says
	beat      *Outbound // see blameBeat
}

// Error returns the close code and the cause, and the reason with [WithServerText].
func (e *CloseError) Error() string {
	end := "connection ended"
	if e.Remote {
		end = "peer closed the connection"
	}
	text := fmt.Sprintf("wechatws: %s: close code %v", end, e.Code)
	if inner := (*CloseError)(nil); e.requested && errors.As(e.Err, &inner) && inner.Code == e.Code {
		return "wechatws: " + printable.Text(because(e.Err)) // the cause given to Disconnect has the code
	}
	if e.Err != nil {
		text += ": " + printable.Text(because(e.Err))
	}
	return text + e.said
}

// Unwrap returns Err.
func (e *CloseError) Unwrap() error { return e.Err }

// A ReadLimitError reports an inbound message above the read limit ([WithReadLimit]). After
// skipping the message, the client passes it to [Client.OnError] and counts it in
// [Stats].Skipped. If the message ended the connection, with [WithStrict] or more than
// 64 MiB above the limit, a [*CloseError] wraps it.
type ReadLimitError struct {
	Limit      int64 // in bytes
	Size       int64 // of the message in bytes, after decompression; 0 if the message ended the connection
	Connection int   // number of the connection, as in [Message]
}

// Error returns the size, if it is known, the limit, and how to raise it.
func (e *ReadLimitError) Error() string {
	size := ""
	if e.Size > 0 {
		size = fmt.Sprintf(" of %d bytes", e.Size)
	}
	return fmt.Sprintf("wechatws: message%s is larger than the read limit of %d bytes; raise it with WithReadLimit", size, e.Limit)
}

// A DecodeError is an inbound message that could not be routed or decoded. The connection stays
// open. In its text the type and the text of Err are cut at 200 bytes. In JSON and with %#v it
// is its text.
type DecodeError struct {
	Type string // the message's type, if it could be read
	Data []byte // the whole message; not part of the error's text
	Err  error  // [ErrNotUTF8], [ErrNotJSON], [ErrNoType], or the codec's error
}

// Error returns the type, the size of the message and the cause.
func (e *DecodeError) Error() string {
	of := ""
	if e.Type != "" {
		of = " of type " + printable.Quote(e.Type)
	}
	return fmt.Sprintf("wechatws: cannot use message%s (%s): %s", of, count(len(e.Data), "byte"), e.why())
}

// why returns the text of Err, cut, since it may name parts of the message, such as the keys of
// a value that does not fit.
func (e *DecodeError) why() string { return printable.Text(because(e.Err)) }

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// A PanicError is a panic in one of the program's functions that the client calls, or a call of
// [runtime.Goexit] there, as by t.FailNow. The process and the other clients continue, and so
// does the client, with one exception:
//
//   - A callback: the error goes to [Client.OnError], and the next callback runs. A panic in
//     an OnError callback is ignored. A [Heartbeat] Pong function counts as returning false.
//   - A function of a [Trace], and the handler of [WithLogger]: the error goes to OnError.
//   - A function of an attempt (endpoint, login, proxy, network dial, TLS callback,
//     AfterConnect, a [transport.Dialer]): the attempt fails with a [*DialError] around the
//     error, and the next one follows by the schedule.
//   - A method of a [transport.Conn] or a [net.Conn]: the connection ends with a [*CloseError]
//     around the error, messages that were being written return to the queue, and the next
//     connection follows. If the connection has ended for another reason, the error goes to
//     OnError.
//   - A [Heartbeat] NewMessage function, and the codec with [EncodeOnWrite]: the error goes to
//     OnError. The heartbeat is skipped; the message is sent as Send has encoded it.
//   - A [NetworkMonitor]: the error goes to OnError, and the client assumes that there is a
//     network.
//   - The exception: a reconnect schedule ([WithBackOff]) and the function of [WithRetryIf].
//     The client ends in [StateFailed] with the error. If the function of WithBackOff itself
//     panics, Connect and Run return the error and no session begins.
//
// If the methods of an error panic, this counts as a panic of the function that returns it.
//
// A panic on the goroutine of the caller is not recovered: in options, the codec in Send, the
// body of a loop over [Client.Messages], the methods of a context. The client remains usable
// after it. A [Trace] function for outbound messages may run on that
// goroutine too; its panic is recovered, but a Goexit in it ends the goroutine.
type PanicError struct {
	Value any    // the argument of panic; for Goexit an error with the text "runtime.Goexit"
	Stack []byte // as from [runtime/debug.Stack]
}

// Error returns the panic's value, cut at 200 bytes: it may contain parts of a message.
func (e *PanicError) Error() string {
	if e.Value == boundary.ErrGoexit {
		return "wechatws: user function called runtime.Goexit"
	}
	return "wechatws: user function panicked: " + printable.Text(fmt.Sprint(e.Value))
}

// Unwrap returns the panic's value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// users calls the program's functions. Each call of one on a goroutine of the client, and each
// method of a type that users implement, goes through it, so that a panic is an error of that
// client only. Callbacks of messages and match functions have deferred functions of their own,
// see batch.runOn and pass.run.
var users boundary.Caller = func(value any, stack []byte) error {
	return &PanicError{Value: value, Stack: stack}
}

// An UndeliveredError hands back the messages that [Client.Send] has accepted and that were not
// written when the client was closed. They may be sent again as they are, with another client
// or after another Connect: see [Outbound].
type UndeliveredError struct {
	Messages []Outbound // in the order of acceptance
}

// Error returns the number of messages.
func (e *UndeliveredError) Error() string {
	were := "were"
	if len(e.Messages) == 1 {
		were = "was"
	}
	return fmt.Sprintf("wechatws: %s %s not delivered", count(len(e.Messages), "message"), were)
}

// A DroppedError names the messages that were accepted and then dropped: by
// [QueueDropOldest], because they had expired, or because the peer refuses them. It is
// reported to [Client.OnError]. The messages of [Client.Request] and [Client.SendConfirmed]
// are not: these calls return the error, a DroppedError only if the peer refuses the message.
// The messages may be sent again: see [Outbound].
type DroppedError struct {
	Err      error      // [ErrQueueFull] or [ErrExpired], or wraps [ErrRefused] and names the close code
	Messages []Outbound // in the order in which they were dropped
	// More is the number of dropped messages that are not in Messages: while a callback
	// blocks, no more of them are kept than the queue holds.
	More int
}

// Error returns the number of messages and the cause.
func (e *DroppedError) Error() string {
	return fmt.Sprintf("wechatws: %s dropped: %s", count(len(e.Messages)+e.More, "message"), e.why())
}

// why returns the text of Err.
func (e *DroppedError) why() string { return because(e.Err) }

// Unwrap returns Err.
func (e *DroppedError) Unwrap() error { return e.Err }

// because returns the text of err as the cause in an error of this package. It does not panic
// if err is a nil pointer in an interface.
func because(err error) string {
	if err == nil {
		return "unknown cause"
	}
	return strings.TrimPrefix(fmt.Sprint(err), "wechatws: ")
}

// count returns a number with its noun, such as "1 message" or "3 messages".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// StatusCode is a WebSocket close code. Its text is the number and the name; in a log and in
// JSON it is the number.
type StatusCode int

// The close codes of RFC 6455 and the IANA registry that a client may receive.
const (
	StatusNormalClosure           StatusCode = 1000
	StatusGoingAway               StatusCode = 1001
	StatusProtocolError           StatusCode = 1002
	StatusUnsupportedData         StatusCode = 1003
	StatusNoStatusRcvd            StatusCode = 1005 // never on the wire: a close frame without a code
	StatusAbnormalClosure         StatusCode = 1006 // never on the wire: no close frame at all
	StatusInvalidFramePayloadData StatusCode = 1007
	StatusPolicyViolation         StatusCode = 1008
	StatusMessageTooBig           StatusCode = 1009
	StatusInternalError           StatusCode = 1011
	StatusServiceRestart          StatusCode = 1012
	StatusTryAgainLater           StatusCode = 1013
)

var statusNames = map[StatusCode]string{
	StatusNormalClosure:           "normal closure",
	StatusGoingAway:               "going away",
	StatusProtocolError:           "protocol error",
	StatusUnsupportedData:         "unsupported data",
	StatusNoStatusRcvd:            "no status received",
	StatusAbnormalClosure:         "abnormal closure",
	StatusInvalidFramePayloadData: "invalid frame payload data",
	StatusPolicyViolation:         "policy violation",
	StatusMessageTooBig:           "message too big",
	StatusInternalError:           "internal error",
	StatusServiceRestart:          "service restart",
	StatusTryAgainLater:           "try again later",
}

// String returns the number and the name, such as "1006 (abnormal closure)", and the number
// alone for a code without a constant, such as "4001".
func (c StatusCode) String() string {
	number := strconv.Itoa(int(c))
	if name := statusNames[c]; name != "" {
		return number + " (" + name + ")"
	}
	return number
}

// MarshalText implements [encoding.TextMarshaler], with what String returns.
func (c StatusCode) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalJSON implements [json.Marshaler], with the number: close codes are searched for and
// compared by number, and those of applications have no names.
func (c StatusCode) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(c), 10), nil }

// LogValue implements [slog.LogValuer], with the number.
func (c StatusCode) LogValue() slog.Value { return slog.IntValue(int(c)) }

// maxCloseReason is the length of a reason in bytes that fits into a control frame of 125 bytes,
// after the code.
const maxCloseReason = 123

// checkClose returns an *OptionError of the method verb if the code or the reason must not be sent.
func checkClose(verb string, code StatusCode, reason string) error {
	switch {
	case code == 1004 || code == StatusNoStatusRcvd || code == StatusAbnormalClosure || code == 1015,
		code < 1000, code > 1014 && code < 3000, code > 4999:
		return &OptionError{verb, fmt.Sprint(int(code)), "this code must not be sent; use 1000 to 1003, 1007 to 1014 or 3000 to 4999"}
	case len(reason) > maxCloseReason:
		return &OptionError{verb, fmt.Sprintf("reason of %d bytes", len(reason)), "a reason has at most 123 bytes of UTF-8"}
	case !utf8.ValidString(reason):
		return &OptionError{verb, fmt.Sprintf("%q", reason), "a reason must be valid UTF-8"}
	}
	return nil
}
