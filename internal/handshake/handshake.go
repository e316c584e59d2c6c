// Package handshake prevents a WebSocket library from reading from a connection whose
// handshake it does not accept. nhooyr.io/websocket and its successor read the body of a
// failed response for its error text, for up to 3 s, whatever the context. After a 101 the
// body is the connection, and no text arrives.
package handshake

import (
	"errors"
	"io"
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

func (b body) Read(p []byte) (int, error) {
	if !b.accepted.Load() {
		return 0, io.EOF
	}
	return b.ReadWriteCloser.Read(p)
}

// Error returns the error of a library's Dial without the words that every such error begins
// with.
func Error(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}
