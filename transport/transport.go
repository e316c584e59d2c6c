// Package transport is the interface between a client of package wechatws and the
// WebSocket library below it. Only programs that bring their own library, or wrap one,
// need it; transport/coder and transport/nhooyr implement it.
package transport

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/wechatws/wechatws/internal/printable"
)

// A MessageType is the opcode of a data message, as in RFC 6455.
type MessageType int

// The two types of message.
const (
	TextMessage   MessageType = 1
	BinaryMessage MessageType = 2
)

// String returns "text" or "binary".
func (t MessageType) String() string {
	switch t {
	case TextMessage:
		return "text"
	case BinaryMessage:
		return "binary"
	}
	return fmt.Sprintf("MessageType(%d)", int(t))
}

// MarshalText implements [encoding.TextMarshaler], with what String returns.
func (t MessageType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// A CloseError is the peer's close frame. [Conn.Reader] returns it when there is one.
type CloseError struct {
	Code   int    // the close code, 1005 for a frame without one
	Reason string // the frame's text; may hold secrets
}

// Error returns a text with the code and without the reason.
func (e *CloseError) Error() string {
	return fmt.Sprintf("peer closed the connection: close code %d", e.Code)
}

// A Dialer makes WebSocket connections. The default one is in package transport/coder, another
// one in package transport/nhooyr.
//
// Dial performs one handshake. On failure it returns the server's response, if
// there was one, with up to 1 KiB of its body. It must return when ctx
// ends; the connections of [Handshake.Client] are closed then. Returning neither a [Conn] nor
// an error is an error, and so are a panic and a [runtime.Goexit].
type Dialer interface {
	Dial(ctx context.Context, h Handshake) (Conn, *http.Response, error)
}

// A Handshake is the request of one [Dialer.Dial]. Printed and in a log it shows the URL's
// scheme and host only.
type Handshake struct {
	URL          string // ws or wss
	Header       http.Header
	Subprotocols []string
	Compression  bool // offer permessage-deflate without context takeover
	// Client makes the request. TLS, proxy, redirects and the wire below are
	// set up in it. A [Dialer] that does not use it does without them, and
	// without liveness by bytes: only whole messages and pongs count then.
	Client *http.Client
}

// A Conn is one WebSocket connection. A Client calls Reader from one goroutine
// and reads each message to its end; it calls Write from one goroutine at a
// time; Ping, Close and CloseNow may be called at any time from any goroutine. A panic
// or a [runtime.Goexit] in a method ends the connection, with a *PanicError of package
// wechatws as the cause.
type Conn interface {
	// Reader waits for the next message. A close frame from the peer is
	// returned as a [*CloseError]. There must be no read limit:
	// the Client has its own.
	Reader() (MessageType, io.Reader, error)
	// Write writes p as one message in one frame.
	Write(t MessageType, p []byte) error
	// Ping sends a protocol ping and waits for its pong, while another goroutine is
	// in Reader.
	Ping(ctx context.Context) error
	// Close sends a close frame and waits for the peer's, while another goroutine
	// is in Reader. It waits for no longer than a few seconds.
	Close(code int, reason string) error
	// CloseNow ends the connection without a close frame. The other methods return then.
	CloseNow() error
	// Subprotocol returns the one that the server chose, or an empty string.
	Subprotocol() string
}

// String returns the URL's scheme and host.
func (h Handshake) String() string { return printable.URL(h.URL) }

// GoString implements [fmt.GoStringer], with what String returns.
func (h Handshake) GoString() string { return "transport.Handshake(" + h.String() + ")" }

// LogValue implements [slog.LogValuer], with what String returns.
func (h Handshake) LogValue() slog.Value { return slog.StringValue(h.String()) }
