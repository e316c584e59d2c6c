// Package ws is the client's side of a WebSocket connection: RFC 6455, and the
// permessage-deflate extension of RFC 7692. It reads messages in batches, gathers what is
// written, and observes the network connection for signs of life.
//
// A [Conn] is the WebSocket connection, a [Socket] the network connection below it, with TLS
// between them or not. [Dial] performs the handshake. A Conn has no goroutines and no timers,
// and while it is idle no buffers but a small one. It answers nothing by itself: pings, close
// frames and errors are passed to the caller, which writes the answers.
package ws

import (
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Conn is a WebSocket connection after its handshake. Make it with [Dial] or [NewConn].
//
// One goroutine at a time calls Receive, and one at a time the methods that append and flush.
// All other methods may be called from any goroutine at any time.
type Conn struct {
	// These fields are set before the first Receive.

	// ReadLimit is the size of the largest message in bytes, after decompression. Zero: any.
	ReadLimit int64
	// SkipLarge has a larger message skipped, see Batch.Skipped, unless it is larger by more than
	// MaxSkip. Otherwise it is a [*LimitError].
	SkipLarge bool
	// StrictText has text that is not UTF-8 end the connection with a [*ProtocolError], as soon
	// as an invalid byte has arrived. Otherwise text is not checked. That of a message that is
	// skipped never is.
	StrictText bool
	// OnPing and OnPong are called by Receive with the payload of each ping and each pong, which
	// is valid until they return; nil: they are ignored. The caller has to answer pings.
	OnPing, OnPong func(payload []byte)

	rw     io.ReadWriteCloser // socket, or TLS above it
	socket *Socket
	agreed Agreed

	partial atomic.Bool // see Partial

	// The fields below belong to the goroutine that reads.

	readErr    error   // the error of Receive
	below      error   // of rw, returned when the bytes before it have been handled
	large      *[]byte // of the pool; nil: the small buffer is in use
	from, upTo int     // bytes in the buffer that have not been handled
	busy       bool    // the last read was not a small one
	message    incoming
	window     []byte // see slide
	small      [smallBuffer]byte

	// The fields below belong to the goroutine that writes.

	out      *[]byte // gathered frames, from the pool; nil: none
	given    int     // bytes of out that were given to rw
	appended int64
	writeErr error
	closing  bool // a close frame was appended

	mu    sync.Mutex // guards the field below
	place place
}

// Agreed is what client and server have agreed on in the handshake.
type Agreed struct {
	Subprotocol string // empty: none
	Compressed  bool   // permessage-deflate; messages are sent without context takeover
	// ServerTakeover means that the server compresses a message with the context of those
	// before, so that the Conn has to keep 32 KiB of them.
	ServerTakeover bool
}

// BufferSize is how many bytes are gathered at most, and read at a time while many arrive.
const BufferSize = 64 << 10

// buffers has buffers of BufferSize, since an idle connection keeps none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, BufferSize); return &b }}

// release puts b back into the pool.
func release(b *[]byte) {
	if cap(*b) <= 2*BufferSize {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// NewConn returns the Conn over rw, which reads and writes by way of socket, directly or with
// TLS between them. From now on, writes to socket do not block, see [Socket]. If socket is nil,
// rw is taken for a connection whose writes may block.
func NewConn(rw io.ReadWriteCloser, socket *Socket, agreed Agreed) *Conn {
	if socket == nil {
		socket = NewSocket(stream{rw}, nil)
		rw = socket
	}
	socket.goLive()
	return &Conn{rw: rw, socket: socket, agreed: agreed}
}

// A stream is a connection without addresses and deadlines.
type stream struct{ io.ReadWriteCloser }

func (stream) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (stream) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (stream) SetDeadline(time.Time) error      { return nil }
func (stream) SetReadDeadline(time.Time) error  { return nil }
func (stream) SetWriteDeadline(time.Time) error { return nil }

// Subprotocol returns the one that was agreed on in the handshake; empty: none.
func (c *Conn) Subprotocol() string { return c.agreed.Subprotocol }

// Socket returns the network connection.
func (c *Conn) Socket() *Socket { return c.socket }

// Abort ends the connection at once, without a close frame, and without the alert of TLS that
// would repeat it. All blocked calls return. It does not block.
func (c *Conn) Abort() { c.socket.Abort() }

// limit returns the largest size of a message.
func (c *Conn) limit() int64 {
	if c.ReadLimit <= 0 {
		return math.MaxInt64
	}
	return c.ReadLimit
}

// A CloseError is a close frame from the peer.
type CloseError struct {
	Code int // 1005 for a frame without one
	// Reason may hold secrets. It may be invalid UTF-8, which is to be answered with 1007: the
	// code tells the caller more than that the text is wrong.
	Reason string
}

// Error returns a text without the reason.
func (e *CloseError) Error() string {
	return fmt.Sprintf("peer closed the connection: close code %d", e.Code)
}

// A LimitError means that a message is larger than the limit.
type LimitError struct{ Limit int64 }

func (e *LimitError) Error() string {
	return fmt.Sprintf("message larger than the limit of %d bytes", e.Limit)
}

// A ProtocolError means that the peer has sent something invalid.
type ProtocolError struct {
	Code    int    // the close code for it: 1002, or 1007 for invalid data
	Reason  string // the reason for the close frame, which contains nothing that the peer has sent
	Deflate bool   // a message cannot be decompressed, or compression not be agreed on
	text    string
}

func (e *ProtocolError) Error() string { return e.text }

// ErrNotText means that text is not UTF-8.
var ErrNotText = &ProtocolError{Code: codeInvalid, Reason: "text is not UTF-8", text: "text is not UTF-8"}

func protocolError(reason string) error {
	return &ProtocolError{Code: codeProtocol, Reason: reason, text: reason}
}

// invalidNumber is protocolError with the number that is wrong.
func invalidNumber(reason string, n int64) error {
	return &ProtocolError{Code: codeProtocol, Reason: reason, text: fmt.Sprint(reason, ": ", n)}
}

func invalidDeflate(detail string) error {
	const reason = "invalid compressed message"
	return &ProtocolError{Code: codeInvalid, Reason: reason, Deflate: true, text: reason + ": " + detail}
}
