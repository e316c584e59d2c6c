// Package transport is the interface between a client of package wechatws and a WebSocket
// library. A client needs none: by default it uses its own implementation of RFC 6455 and
// RFC 7692, which also gathers messages that wait into one write. Packages transport/coder and
// transport/nhooyr are Dialers for programs that use one of these libraries already. The
// interface is for programs with another library, or with a wrapper around one of these:
//
//	client, err := wechatws.New(url, wechatws.WithDialer(myDialer{}))
package transport

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/wechatws/wechatws/internal/printable"
)

// A MessageType is the type of a message: its opcode in RFC 6455.
type MessageType int

// The two types of message.
const (
	TextMessage   MessageType = 1
	BinaryMessage MessageType = 2
)

// String returns "text" or "binary", and the number of any other opcode.
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

// A CloseError is a close frame from the peer. [Conn] Reader returns it.
type CloseError struct {
	Code   int    // the close code; 1005 for a frame without one
	Reason string // the frame's text; may hold secrets
}

// Error returns a text with the code and without the reason.
func (e *CloseError) Error() string {
	return fmt.Sprintf("peer closed the connection: close code %d", e.Code)
}

// A Dialer makes WebSocket connections. It may be shared by clients, and must be safe for
// concurrent use.
type Dialer interface {
	// Dial performs one handshake. If it fails, it returns the server's response, if there
	// was one, with up to 1 KiB of its body. It must return when ctx ends; the connections
	// of the [Handshake]'s Client are closed then. To return neither a [Conn] nor an error
	// is a failed attempt, and so are a panic and a [runtime.Goexit].
	Dial(ctx context.Context, h Handshake) (Conn, *http.Response, error)
}

// A Handshake is the request of one [Dialer] Dial. Printed and in a log it shows the URL's
// scheme and host only.
type Handshake struct {
	URL          string      // ws or wss
	Header       http.Header // may hold secrets
	Subprotocols []string    // to be offered, the preferred one first
	Compression  bool        // offer permessage-deflate without context takeover
	// Client makes the request. It has the TLS configuration, the proxy, the redirects and
	// the network connections of the client's options. A [Dialer] that does not use it does
	// without them, and liveness counts whole messages and pongs instead of bytes.
	Client *http.Client
}

// A Conn is one WebSocket connection. It answers the peer's pings and its close frame itself.
//
// The client calls Reader on one goroutine at a time, and reads each message to its end before
// the next call. It calls Write on one goroutine at a time. Ping, Close and CloseNow may be
// called at any time from any goroutine. A panic or a [runtime.Goexit] in a method ends the
// connection, with a *PanicError of package wechatws as the cause.
type Conn interface {
	// Reader blocks until the next message begins. It returns a close frame from the peer as
	// a [*CloseError]. It must not have a read limit: the client has its own. A message that the
	// end of the connection cuts off must end with an error other than [io.EOF].
	Reader() (MessageType, io.Reader, error)
	// Write writes p as one message in one frame. It must not retain p.
	Write(t MessageType, p []byte) error
	// Ping sends a protocol ping and blocks until its pong arrives or ctx ends, while
	// another goroutine is in Reader.
	Ping(ctx context.Context) error
	// Close sends a close frame and blocks until that of the peer arrives, for a few seconds
	// at most, while another goroutine is in Reader.
	Close(code int, reason string) error
	// CloseNow ends the connection without a close frame. The other methods then return.
	CloseNow() error
	// Subprotocol returns the one that the server has chosen, or an empty string.
	Subprotocol() string
}

// String returns the URL's scheme and host.
func (h Handshake) String() string { return printable.URL(h.URL) }

// Format implements [fmt.Formatter], with what String returns for all verbs.
func (h Handshake) Format(s fmt.State, verb rune) {
	printable.Format(s, verb, "transport.Handshake", h.String())
}

// LogValue implements [slog.LogValuer], with what String returns.
func (h Handshake) LogValue() slog.Value { return slog.StringValue(h.String()) }
