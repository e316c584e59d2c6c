package wechatws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/wechatws/wechatws/internal/frames"
	"github.com/wechatws/wechatws/internal/handshake"
)

// MessageType tells text messages from binary ones, with the opcodes of
// RFC 6455.
type MessageType int

// The two kinds of message.
const (
	TextMessage   MessageType = 1
	BinaryMessage MessageType = 2
)

// StatusCode is a WebSocket close code.
type StatusCode int

// The close codes of RFC 6455 and the IANA registry that a client meets.
const (
	StatusNormalClosure    StatusCode = 1000
	StatusGoingAway        StatusCode = 1001
	StatusProtocolError    StatusCode = 1002
	StatusUnsupportedData  StatusCode = 1003
	StatusNoStatus         StatusCode = 1005 // never on the wire: a close frame without a code
	StatusAbnormal         StatusCode = 1006 // never on the wire: no close frame at all
	StatusInvalidPayload   StatusCode = 1007
	StatusPolicyViolation  StatusCode = 1008
	StatusMessageTooBig    StatusCode = 1009
	StatusMissingExtension StatusCode = 1010
	StatusInternalError    StatusCode = 1011
	StatusServiceRestart   StatusCode = 1012
	StatusTryAgainLater    StatusCode = 1013
)

func (c StatusCode) String() string { return fmt.Sprintf("close code %d", int(c)) }

// maxCloseReason is what fits beside the code into a control frame's 125 bytes.
const maxCloseReason = 123

// checkClose says what is wrong with a code and a reason, or nothing.
func checkClose(code StatusCode, reason string) error {
	switch {
	case code == 1004 || code == StatusNoStatus || code == StatusAbnormal || code == 1015,
		code < 1000, code > 1014 && code < 3000, code > 4999:
		return &OptionError{"Close", fmt.Sprint(int(code)), "this code must not be sent; use 1000 to 1003, 1007 to 1014 or 3000 to 4999"}
	case len(reason) > maxCloseReason:
		return &OptionError{"Close", fmt.Sprintf("reason of %d bytes", len(reason)), "a reason has at most 123 bytes of UTF-8"}
	case !utf8.ValidString(reason):
		return &OptionError{"Close", fmt.Sprintf("%q", reason), "a reason must be valid UTF-8"}
	}
	return nil
}

// A Dialer makes WebSocket connections: the seam to the WebSocket library.
// CoderDialer is the default; package transport/nhooyr holds another one.
//
// Dial performs one handshake. On failure it returns the server's response as
// far as there was one, with up to 1 KiB of its body. It must return when ctx
// ends; the connections of Handshake.Client are closed then. Returning neither a Conn nor
// an error is an error, and so is a panic.
type Dialer interface {
	Dial(ctx context.Context, h Handshake) (Conn, *http.Response, error)
}

// A Handshake is what a Dialer needs to know. Printed and in a log it shows the URL's
// scheme and host only.
type Handshake struct {
	URL          string // ws or wss
	Header       http.Header
	Subprotocols []string
	Compression  bool // offer permessage-deflate without context takeover
	// Client makes the request. TLS, proxy, redirects and the wire below are
	// set up in it; a Dialer that does not use it does without them, and
	// without liveness by bytes: only whole messages and pongs count then.
	Client *http.Client
}

// A Conn is one WebSocket connection. A Client calls Reader from one goroutine
// and reads each message to its end; it calls Write from one goroutine at a
// time; Ping, Close and CloseNow may come at any time from any goroutine. A panic
// in a method ends the connection, with a *PanicError as the cause.
type Conn interface {
	// Reader waits for the next message. A close frame from the peer is
	// returned as a *CloseError with Remote set. There must be no read limit:
	// the Client has its own.
	Reader() (MessageType, io.Reader, error)
	// Write writes p as one message in one frame.
	Write(t MessageType, p []byte) error
	// Ping sends a protocol ping and waits for its pong, while somebody else is
	// in Reader.
	Ping(ctx context.Context) error
	// Close sends a close frame and waits for the peer's, while somebody else
	// is in Reader. It waits for no longer than a few seconds.
	Close(code StatusCode, reason string) error
	// CloseNow ends the connection without a word and lets everything above
	// return.
	CloseNow() error
	// Subprotocol is the one that the server chose, or empty.
	Subprotocol() string
}

// CoderDialer is the default Dialer, on github.com/coder/websocket.
type CoderDialer struct{}

// Dial implements Dialer.
func (CoderDialer) Dial(ctx context.Context, h Handshake) (Conn, *http.Response, error) {
	client, found := frames.Find(h.Client)
	client, accept := handshake.Client(client)
	opts := &websocket.DialOptions{HTTPClient: client, HTTPHeader: h.Header, Subprotocols: h.Subprotocols}
	if h.Compression {
		opts.CompressionMode = websocket.CompressionNoContextTakeover
	}
	c, resp, err := websocket.Dial(ctx, h.URL, opts)
	if err != nil {
		return nil, resp, err
	}
	accept()
	c.SetReadLimit(-1)
	return coderConn{c, found.Stream}, resp, nil
}

// coderConn uses the background context throughout: a context that can end
// costs an allocation per operation, and ends the connection anyway.
type coderConn struct {
	*websocket.Conn
	stream *frames.Stream
}

// Stream implements frames.Streamer.
func (c coderConn) Stream() *frames.Stream { return c.stream }

func (c coderConn) Reader() (MessageType, io.Reader, error) {
	t, r, err := c.Conn.Reader(context.Background())
	if err != nil {
		var ce websocket.CloseError
		if errors.As(err, &ce) {
			err = &CloseError{Code: StatusCode(ce.Code), Reason: ce.Reason, Remote: true}
		}
		return 0, nil, err
	}
	return MessageType(t), r, nil
}

func (c coderConn) Write(t MessageType, p []byte) error {
	return c.Conn.Write(context.Background(), websocket.MessageType(t), p)
}

func (c coderConn) Close(code StatusCode, reason string) error {
	return c.Conn.Close(websocket.StatusCode(code), reason)
}
