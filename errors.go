package wechatws

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wechatws/wechatws/internal/printable"
)

// Sentinel errors, for errors.Is. They may come wrapped with more detail.
var (
	// ErrAlreadyConnected is returned by Connect and Run while the client is
	// connected or on its way. The original said "already logged in".
	ErrAlreadyConnected = errors.New("wechatws: already connected or connecting")

	// ErrClosed is returned by Send, Flush, Request and Reconnect once the
	// client is closed or has failed. After a failure it wraps the cause.
	ErrClosed = errors.New("wechatws: client is closed")

	// ErrMessageTooBig is why a message was dropped that the peer refuses: two
	// connections ended with its close code 1009 while this message was being
	// written, or waited for its confirmation, and on the second one it was the only
	// message.
	ErrMessageTooBig = errors.New("wechatws: peer refuses the message as too big (close code 1009)")

	// ErrNotOpen is returned by Send when there is no open connection and the
	// queue is switched off (WithQueue with zero messages).
	ErrNotOpen = errors.New("wechatws: not open")

	// ErrQueueFull is returned by Send when the message does not fit into the
	// outbound queue.
	ErrQueueFull = errors.New("wechatws: outbound queue is full")

	// ErrTooLarge is wrapped, together with ErrQueueFull, by the error about a message
	// that is larger than the whole outbound queue: no later attempt can succeed.
	ErrTooLarge = errors.New("message is larger than the whole queue")

	// ErrExpired is why a message was dropped that had ExpireAfter.
	ErrExpired = errors.New("wechatws: message has expired")

	// ErrConnectionLost is returned by Request when the connection ended after
	// the request was written and before its answer came.
	ErrConnectionLost = errors.New("wechatws: connection lost before the answer came")

	// ErrInboxFull is returned by a Request made inside a callback when its
	// answer can no longer be read, because so many messages wait for that very
	// callback to return. Make the request from a goroutine of its own.
	ErrInboxFull = errors.New("wechatws: inbox is full and waits for the callback that waits for this answer")

	// ErrHalfOpen is the cause of a drop when nothing at all has arrived from
	// the peer for the liveness timeout, or when it did not answer a probe.
	ErrHalfOpen = errors.New("wechatws: peer is silent, connection is half-open")

	// ErrCompression is the cause of a drop when a message cannot be
	// decompressed, as with servers that keep their context although they were
	// asked not to. OnError is told, too: the client goes on without
	// compression.
	ErrCompression = errors.New("wechatws: server compresses wrongly, going on without compression")

	// ErrProtocol is the cause of a drop when the peer breaks the rules of
	// WebSocket: reserved bits, unknown opcodes, control frames that are too long.
	// What exactly it was is in the error's text.
	ErrProtocol = errors.New("wechatws: peer breaks the WebSocket protocol")

	// ErrReconnect is the cause of a drop that Reconnect asked for.
	ErrReconnect = errors.New("wechatws: reconnect requested")

	// ErrNotUTF8 is wrapped by the errors about text that is not valid UTF-8,
	// inbound (in a *DecodeError) and outbound (from SendText).
	ErrNotUTF8 = errors.New("text is not valid UTF-8")

	// ErrNoType is wrapped by the *DecodeError about a JSON message whose type field is
	// missing or holds no string, number or boolean, and that nothing took: no OnMessage
	// or OnUnknown callback, no Request and no SendConfirmed.
	ErrNoType = errors.New("no string in the message's type field")

	// ErrNotJSON is wrapped by the *DecodeError about a text message that is not
	// one JSON value, and that no OnMessage callback, Request or SendConfirmed took.
	ErrNotJSON = errors.New("not valid JSON")

	// ErrBinary is wrapped by the *DecodeError about a binary message that no
	// OnMessage callback, Request or SendConfirmed took.
	ErrBinary = errors.New("binary message and no OnMessage callback")
)

// An OptionError says which option or argument is wrong, what it was given and
// what would be right. New joins all that it finds.
type OptionError struct {
	Option string // the option's or argument's name, such as "WithDialTimeout"
	Value  string // what was given; a secret is left out
	Want   string // what would be right
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("wechatws: %s(%s): %s", e.Option, e.Value, e.Want)
}

// The phases of an attempt, in their order.
const (
	phaseEndpoint  = "endpoint"
	phaseProxy     = "proxy"
	phaseResolve   = "resolve"
	phaseConnect   = "connect"
	phaseTLS       = "tls"
	phaseHandshake = "handshake"
	phaseLogin     = "login"
	phaseSetup     = "setup"
)

// A DialError is a connection attempt that failed, and where. Its text holds
// the server's host and port, and never a query, user info or header value. What a
// peer sent that is no valid answer, such as a malformed status line, is cut at 200
// bytes, with control characters escaped.
//
// errors.Is and errors.As find everything below Err. errors.Unwrap goes below it only when
// it comes from one of the user's functions, so that a program that prints each error of a
// chain prints no secret either.
type DialError struct {
	// Phase is the phase that failed, in this order: "endpoint" (the endpoint function),
	// "proxy" (choosing or reaching the proxy), "resolve" (DNS), "connect" (TCP), "tls"
	// (handshake and certificates), "handshake" (the HTTP upgrade), "login" (making or
	// writing the login message) or "setup" (an AfterConnect function).
	Phase string
	Addr  string // host:port, empty when not known yet
	Err   error  // the cause

	text string // Err's text without secrets
}

func (e *DialError) Error() string {
	at := ""
	if e.Addr != "" {
		at = " " + e.Addr
	}
	return fmt.Sprintf("wechatws: %s%s: %s", e.Phase, at, e.text)
}

func (e *DialError) Unwrap() error { return e.Err }

// A networkError is the cause of a *DialError in a text that can be shown. It has no
// Unwrap: the texts of the errors below repeat URLs, and what a peer has sent at any length.
type networkError struct {
	text string
	err  error
}

func (e *networkError) Error() string        { return e.text }
func (e *networkError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *networkError) As(target any) bool   { return errors.As(e.err, target) }

// A HandshakeError is a server's answer to the handshake that is not a valid
// upgrade. It comes inside a *DialError; use errors.As. Its text has the status and, for
// an invalid upgrade, what is wrong with it. Header and Body are not part of it: a
// server's page often repeats the token that it refuses.
type HandshakeError struct {
	Status     int           // HTTP status; 101 when the upgrade itself was invalid
	Header     http.Header   // the response's header; may hold secrets such as cookies
	Body       []byte        // up to 1 KiB of the response's body; may hold secrets
	RetryAfter time.Duration // from a 429 or 503; zero when absent or unusable

	detail string // what is wrong with the upgrade, without secrets
}

func (e *HandshakeError) Error() string {
	text := fmt.Sprintf("server answered %d %s", e.Status, http.StatusText(e.Status))
	if e.detail != "" {
		text += ": " + e.detail
	}
	return text
}

// A ProxyError is a proxy's refusal to dig a tunnel to a server of wss. It comes inside a
// *DialError of phase "proxy"; use errors.As. (What a proxy answers for a server of ws comes in
// the place of the server's answer: as a *HandshakeError.)
type ProxyError struct {
	Status int // HTTP status; 407 when it wants credentials, which belong into its URL
}

func (e *ProxyError) Error() string {
	return fmt.Sprintf("proxy answered %d %s", e.Status, http.StatusText(e.Status))
}

// A CloseError says how a connection ended. Its text has the code and the cause below,
// and not the reason.
type CloseError struct {
	// Code is the close code, 1005 for a close frame without one, and 1006 when
	// there was no close frame at all.
	Code StatusCode
	// Reason is the close frame's text. Servers repeat in it the token that they
	// refuse: do not log it.
	Reason string
	// Remote tells that the peer ended the connection.
	Remote bool
	// Err is the cause below, such as io.EOF or ErrHalfOpen; nil after a close
	// frame.
	Err error

	requested bool // by Reconnect or Disconnect
}

func (e *CloseError) Error() string {
	who := "connection ended"
	if e.Remote {
		who = "peer closed the connection"
	}
	text := fmt.Sprintf("wechatws: %s: %v", who, e.Code)
	if e.Err != nil {
		text += ": " + strings.TrimPrefix(e.Err.Error(), "wechatws: ")
	}
	return text
}

func (e *CloseError) Unwrap() error { return e.Err }

// A ReadLimitError is the cause of a drop by a message larger than the read
// limit.
type ReadLimitError struct {
	Limit int64 // in bytes
}

func (e *ReadLimitError) Error() string {
	return fmt.Sprintf("wechatws: message is larger than the read limit of %d bytes; raise it with WithReadLimit", e.Limit)
}

// A DecodeError is an inbound message that could not be routed or decoded. The
// connection stays up. In its text the type and the text of Err are cut at 200 bytes.
type DecodeError struct {
	Type string // the message's type, when it could be read
	Data []byte // the whole message; not part of the error's text
	Err  error  // ErrNotUTF8, ErrNotJSON, ErrNoType, ErrBinary, or the codec's error
}

func (e *DecodeError) Error() string {
	of := ""
	if e.Type != "" {
		of = " of type " + printable.Quote(e.Type)
	}
	return fmt.Sprintf("wechatws: cannot use message%s (%d bytes): %s", of, len(e.Data), e.why())
}

// why is the text of Err, which names parts of the message, such as the keys on the way
// to a value that does not fit.
func (e *DecodeError) why() string { return printable.Text(fmt.Sprint(e.Err)) }

func (e *DecodeError) Unwrap() error { return e.Err }

// A PanicError is a panic in a function that the program gave to the client, or a call of
// [runtime.Goexit] there, as by t.FailNow. The process, the other clients and, with one
// exception, the client go on:
//
//   - A callback: the error goes to [Client.OnError], and the next callback runs. A panic in
//     an OnError callback is ignored. A [Heartbeat] Pong function counts as returning false.
//   - A function of a [Trace], and the handler of [WithLogger]: the error goes to OnError.
//   - A function of an attempt (endpoint, login, proxy, network dial, TLS callback,
//     AfterConnect, a [transport.Dialer]): the attempt fails with a [*DialError] around the
//     error, and the next one follows by the schedule.
//   - A method of a [transport.Conn] or a [net.Conn]: the connection ends with a [*CloseError]
//     around the error, what was being written goes back to the queue, and the next
//     connection follows. If the connection has ended for another reason, the error goes to
//     OnError.
//   - A heartbeat's NewMessage function and the codec under [EncodeOnWrite]: the error goes
//     to OnError. The heartbeat is left out; the message is sent as Send has encoded it.
//   - A [NetworkMonitor]: the error goes to OnError, and the client assumes that there is a
//     network.
//   - The schedule and the retry policy, without which the client cannot go on: it ends in
//     [StateFailed] with the error. If the function of [WithBackOff] panics, Connect and Run
//     return the error and nothing begins.
//
// An error whose methods panic counts as a panic of the function that returns it.
//
// What runs on the goroutine of the caller is the caller's own, and its panic is not
// recovered: options, match functions, the codec in Send, the body of a loop over
// [Client.Messages], the methods of a context. The client remains usable after it. A trace
// function for outbound messages may run there too; a Goexit in it ends that goroutine.
type PanicError struct {
	Value any    // what was given to panic; for Goexit an error with the text "runtime.Goexit"
	Stack []byte // as from debug.Stack
}

func (e *PanicError) Error() string {
	if e.Value == errGoexit {
		return "wechatws: a callback called runtime.Goexit"
	}
	return fmt.Sprintf("wechatws: panic in a callback: %v", e.Value)
}

// Unwrap gives the panic's value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// An UndeliveredError hands back what was accepted by Send and not written by
// the time the client was closed, in order.
type UndeliveredError struct {
	Messages []Outbound
}

func (e *UndeliveredError) Error() string {
	return fmt.Sprintf("wechatws: %d accepted message(s) were not delivered", len(e.Messages))
}

// A DroppedError tells OnError which messages were thrown away: by QueueDropOldest,
// because they had expired, or because the peer refuses them. SendConfirmed returns it
// to its caller instead.
type DroppedError struct {
	Err      error      // ErrQueueFull, ErrExpired or ErrMessageTooBig
	Messages []Outbound // in the order in which they were dropped
	// More counts drops that are not in Messages: while a callback runs for
	// long, no more than a queueful of dropped messages is kept for it.
	More int
}

func (e *DroppedError) Error() string {
	return fmt.Sprintf("%v: %d message(s) dropped", e.Err, len(e.Messages)+e.More)
}

func (e *DroppedError) Unwrap() error { return e.Err }
