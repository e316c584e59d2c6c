// Package handshake is between nhooyr.io/websocket, or its successor, and a connection.
//
// It prevents them from reading from a connection whose handshake they do not accept: they read the body
// of a failed response for its error text, for up to 3 s, whatever the context. After a 101 the body is the
// connection, and no text arrives.
//
// It also prevents them from taking the end of a connection for the end of the message that it cuts off:
// they do if they read an [io.EOF] in the right moment, such as behind the header of a frame.
package handshake

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// Client returns a copy of c for one handshake. Until accept is called, a read of the body of
// a 101 returns [io.EOF].
func Client(c *http.Client) (client *http.Client, accept func()) {
	if c == nil {
		c = http.DefaultClient
	}
	t := &transport{base: c.Transport, accepted: new(atomic.Bool)} // the connection references only this
	if t.base == nil {
		t.base = http.DefaultTransport
	}
	copied := *c
	copied.Transport = t
	return &copied, func() { t.accepted.Store(true) }
}

type transport struct {
	base     http.RoundTripper
	accepted *atomic.Bool
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	if conn, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = body{conn, t.accepted}
	}
	return resp, nil
}

type body struct {
	io.ReadWriteCloser
	accepted *atomic.Bool
}

// errEnded is what a Read returns in place of an [io.EOF].
var errEnded = errors.New("the connection has ended")

func (b body) Read(p []byte) (int, error) {
	if !b.accepted.Load() {
		return 0, io.EOF
	}
	n, err := b.ReadWriteCloser.Read(p)
	return n, ended(err)
}

func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnded
	}
	return err
}

// Ended returns [io.EOF] if err is that of a library to which the connection has ended, and otherwise err.
func Ended(err error) error {
	if errors.Is(err, errEnded) {
		return io.EOF
	}
	return err
}

// A Message reads a message from a library's reader.
type Message struct{ io.Reader }

// Read returns [io.ErrUnexpectedEOF] if the end of the connection has cut the message off.
func (m *Message) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if errors.Is(err, errEnded) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Server returns w for a library that accepts the handshake of a client.
func Server(w http.ResponseWriter) http.ResponseWriter { return hijacker{w} }

type hijacker struct{ http.ResponseWriter }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return hijacked{conn}, buffered, nil
}

type hijacked struct{ net.Conn }

func (c hijacked) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, ended(err)
}

// Error returns the error of a library's Dial without the words that every such error begins
// with.
func Error(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}
