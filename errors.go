package wechatws

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wechatws/wechatws/internal/printable"
)

// Sentinel errors, for [errors.Is]. They may come wrapped with more detail.
var (
	// ErrAlreadyConnected is returned by [Client.Connect] and [Client.Run] while the client
	// is connected or connecting. The original said "already logged in".
	ErrAlreadyConnected = errors.New("wechatws: already connected or connecting")

	// ErrClosed is returned by [Client.Send], [Client.Flush], [Client.Request] and
	// [Client.Reconnect] once the client is closed or has failed. After a failure it wraps
	// the cause.
	ErrClosed = errors.New("wechatws: client is closed")

	// ErrMessageTooBig means that sending the message again cannot succeed. The error
	// of a message that is larger than the whole outbound queue wraps it, together with
	// [ErrQueueFull]. In a [*DroppedError] the peer refuses the message: two connections
	// ended with close code 1009 ([StatusMessageTooBig]) while it was being written or
	// waited for its confirmation, on the second one as the only message.
	ErrMessageTooBig = errors.New("message is too big")

	// ErrNotOpen is returned by the methods that need an open connection, and by Send
	// and Request without one if the message must not wait for it: with [FailFast], or if
	// there is no queue ([WithQueue] with zero messages).
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

	// ErrInboxFull is returned by a [Client.Request] made inside a callback when its
	// answer can no longer be read, because so many messages wait for that very
	// callback to return. Make the request from a goroutine of its own.
	ErrInboxFull = errors.New("wechatws: inbox is full and waits for the callback that waits for this answer")

	// ErrHalfOpen is the cause of a disconnect when nothing at all has arrived from
	// the peer for the liveness timeout ([WithLiveness]), or when the peer did not answer a
	// ping in time.
	ErrHalfOpen = errors.New("wechatws: peer is silent, connection is half-open")

	// ErrCompression is the cause of a disconnect when a message cannot be
	// decompressed, as with servers that keep their context although they were
	// asked not to. [Client.OnError] callbacks receive it too: the client goes on without
	// compression.
	ErrCompression = errors.New("wechatws: server compresses wrongly, going on without compression")

	// ErrProtocol is the cause of a disconnect when the peer breaks the rules of
	// WebSocket: reserved bits, unknown opcodes, control frames that are too long.
	// The error's text has the details.
	ErrProtocol = errors.New("wechatws: peer breaks the WebSocket protocol")

	// ErrReconnect is the cause of a disconnect by [Client.Reconnect].
	ErrReconnect = errors.New("wechatws: reconnect requested")

	// ErrNotUTF8 is wrapped by the errors about text that is not valid UTF-8,
	// inbound (in a [*DecodeError]) and outbound (a [Text] for instance).
	ErrNotUTF8 = errors.New("text is not valid UTF-8")

	// ErrNoType is wrapped by the [*DecodeError] about a JSON message whose type field is
	// missing or holds no string, number or boolean, and that nothing took: no
	// [Client.OnMessage] or [Client.OnUnknown] callback, no [Client.Request] and no
	// [Client.SendConfirmed].
	ErrNoType = errors.New("no string in the message's type field")

	// ErrNotJSON is wrapped by the [*DecodeError] about a text message that is not
	// one JSON value, and that no [Client.OnMessage] callback, [Client.Request] or
	// [Client.SendConfirmed] took.
	ErrNotJSON = errors.New("not valid JSON")

	// ErrBinary is wrapped by the [*DecodeError] about a binary message that no
	// [Client.OnMessage] callback, [Client.Request] or [Client.SendConfirmed] took.
	ErrBinary = errors.New("binary message and no OnMessage callback")
)

// An OptionError is a wrong option or argument. [New] joins all that it finds with
// [errors.Join].
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
	phaseEndpoint  = "endpoint"
	phaseProxy     = "proxy"
	phaseResolve   = "resolve"
	phaseConnect   = "connect"
	phaseTLS       = "tls"
	phaseHandshake = "handshake"
	phaseLogin     = "login"
	phaseSetup     = "setup"
)

// A DialError is a connection attempt that failed, and the phase in which it did. Its text
// holds the server's host and port, and never a query, user info or header value. What a
// peer sent that is no valid answer, such as a malformed status line, is cut at 200
// bytes, with control characters escaped.
//
// [errors.Is] and [errors.As] find everything below Err. [errors.Unwrap] goes below it only
// when it comes from one of the user's functions, so that a program that prints each error of
// a chain prints no secret either.
type DialError struct {
	// Phase is the phase that failed, in this order: "endpoint" (the function of
	// [WithEndpoint]), "proxy" (choosing or reaching the proxy), "resolve" (DNS), "connect"
	// (TCP), "tls" (handshake and certificates), "handshake" (the HTTP upgrade), "login"
	// (making or writing the login message) or "setup" (a [Client.AfterConnect] function).
	Phase string
	Addr  string // host:port, empty when not known yet
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

// A networkError is the cause of a *DialError in a text that can be shown. It has no
// Unwrap: the texts of the errors below repeat URLs, and what a peer has sent at any length.
type networkError struct {
	text string
	err  error
}

func (e *networkError) Error() string        { return e.text }
func (e *networkError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *networkError) As(target any) bool   { return errors.As(e.err, target) }
func (e *networkError) hidden() error        { return e.err }

// A HandshakeError is a server's answer to the handshake that is not a valid
// upgrade. It comes inside a [*DialError]; use [errors.As]. Its text has the status and, for
// an invalid upgrade, what is wrong with it. Header and Body are not part of the text: a
// server's page often repeats the token that it refuses.
type HandshakeError struct {
	Status     int           // HTTP status; 101 when the upgrade itself was invalid
	Header     http.Header   // the response's header; may hold secrets such as cookies
	Body       []byte        // up to 1 KiB of the response's body; may hold secrets
	RetryAfter time.Duration // from a 429 or 503; zero when absent or unusable

	detail string // what is wrong with the upgrade, without secrets
}

// Error returns the status, and what is wrong with an upgrade.
func (e *HandshakeError) Error() string {
	text := "server answered " + statusText(e.Status)
	if e.detail != "" {
		text += ": " + e.detail
	}
	return text
}

// A ProxyError is a proxy's refusal to make a tunnel to a server of wss. It comes inside a
// [*DialError] of phase "proxy"; use [errors.As]. (What a proxy answers for a server of ws
// comes in the place of the server's answer: as a [*HandshakeError].)
type ProxyError struct {
	Status int // HTTP status; 407 when it wants credentials, which belong into the proxy's URL
}

// Error returns the status.
func (e *ProxyError) Error() string { return "proxy answered " + statusText(e.Status) }

// statusText returns an HTTP status and its name, if it has one.
func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// A CloseError is the end of a connection. Its text has the code and the cause below,
// and not the reason.
type CloseError struct {
	// Code is the close code, [StatusNoStatusRcvd] for a close frame without one, and
	// [StatusAbnormalClosure] when there was no close frame at all.
	Code StatusCode
	// Reason is the close frame's text. Servers repeat in it the token that they
	// refuse: do not log it.
	Reason string
	// Remote reports whether the peer ended the connection.
	Remote bool
	// Err is the cause below, such as [io.EOF] or [ErrHalfOpen]; nil after a close
	// frame.
	Err error

	requested bool // by Reconnect or Disconnect
}

// Error returns the close code and the cause below.
func (e *CloseError) Error() string {
	end := "connection ended"
	if e.Remote {
		end = "peer closed the connection"
	}
	text := fmt.Sprintf("wechatws: %s: close code %v", end, e.Code)
	if e.Err != nil {
		text += ": " + because(e.Err)
	}
	return text
}

// Unwrap returns Err.
func (e *CloseError) Unwrap() error { return e.Err }

// A ReadLimitError is the cause of a disconnect by a message that is larger than the read
// limit; see [WithReadLimit].
type ReadLimitError struct {
	Limit int64 // in bytes
}

// Error returns the limit, and how to raise it.
func (e *ReadLimitError) Error() string {
	return fmt.Sprintf("wechatws: message is larger than the read limit of %d bytes; raise it with WithReadLimit", e.Limit)
}

// A DecodeError is an inbound message that could not be routed or decoded. The
// connection stays up. In its text the type and the text of Err are cut at 200 bytes.
type DecodeError struct {
	Type string // the message's type, when it could be read
	Data []byte // the whole message; not part of the error's text
	Err  error  // [ErrNotUTF8], [ErrNotJSON], [ErrNoType], [ErrBinary], or the codec's error
}

// Error returns the type, the size of the message and the cause.
func (e *DecodeError) Error() string {
	of := ""
	if e.Type != "" {
		of = " of type " + printable.Quote(e.Type)
	}
	return fmt.Sprintf("wechatws: cannot use message%s (%s): %s", of, count(len(e.Data), "byte"), e.why())
}

// why is the text of Err, which names parts of the message, such as the keys on the way
// to a value that does not fit.
func (e *DecodeError) why() string { return printable.Text(because(e.Err)) }

// Unwrap returns Err.
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
	Value any    // the argument of panic; for Goexit an error with the text "runtime.Goexit"
	Stack []byte // as from [debug.Stack]
}

// Error returns the panic's value.
func (e *PanicError) Error() string {
	if e.Value == errGoexit {
		return "wechatws: a callback called runtime.Goexit"
	}
	return fmt.Sprintf("wechatws: panic in a callback: %v", e.Value)
}

// Unwrap returns the panic's value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// An UndeliveredError hands back the messages that were accepted by Send and not written
// when the client was closed. They may be sent again as they are, with another client or
// after another Connect: see [Outbound].
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
// reported to [Client.OnError]; [Client.SendConfirmed] returns it to its caller instead.
// The messages may be sent again: see [Outbound].
type DroppedError struct {
	Err      error      // [ErrQueueFull], [ErrExpired] or [ErrMessageTooBig]
	Messages []Outbound // in the order in which they were dropped
	// More is the number of dropped messages that are not in Messages: while a callback
	// runs for long, no more than a queueful of them is kept.
	More int
}

// Error returns the number of messages and the cause.
func (e *DroppedError) Error() string {
	return fmt.Sprintf("wechatws: %s dropped: %s", count(len(e.Messages)+e.More, "message"), e.why())
}

// why returns the text of Err.
func (e *DroppedError) why() string {
	if e.Err == ErrMessageTooBig {
		return "refused by the peer as too big (close code 1009)"
	}
	return because(e.Err)
}

// Unwrap returns Err.
func (e *DroppedError) Unwrap() error { return e.Err }

// because returns the text of the cause of an error of this package. It does not panic, also
// when err is a nil pointer in an interface.
func because(err error) string {
	if err == nil {
		return "unknown cause"
	}
	return strings.TrimPrefix(fmt.Sprint(err), "wechatws: ")
}

// count returns a number of things, such as "1 message" or "3 messages".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
