package wechatws

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/internal/frames"
	"github.com/wechatws/wechatws/transport"
)

// The boundary between the client and the functions of its user. Each call of such a
// function on a goroutine of the client goes through protect, and each method of an
// interface that users implement through one of the types below, so that a panic is
// an error of that client only.

// protect runs one of the user's functions, and returns a panic in it as a *PanicError.
func protect(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if err = fn(); err != nil {
		// A method that panics, as of a nil pointer, does so here, and not where it is used.
		_ = err.Error()
		_ = errors.Is(err, errNone) || errors.As(err, new(noError))
	}
	return err
}

// errNone and noError are in no error, so that looking for them goes through all of it.
var errNone = errors.New("none")

type noError struct{ error }

// isNil reports whether v, which is an interface, is nil or holds a nil pointer or function.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}

var (
	errNoConn    = errors.New("the Dialer returned neither a connection nor an error")
	errNoNetConn = errors.New("the function of WithNetDial returned neither a connection nor an error")
	errNoReader  = errors.New("Conn.Reader returned neither a reader nor an error")
	errNoStop    = errors.New("wechatws: NetworkMonitor.Watch returned nil: it must return a stop function")
)

// transfer calls a Read or Write method, and checks the count that it returns.
func transfer(p []byte, do func([]byte) (int, error)) (n int, err error) {
	err = protect(func() (err error) {
		if n, err = do(p); n < 0 || n > len(p) {
			n, err = 0, fmt.Errorf("%d of %d bytes: invalid count from Read or Write", n, len(p))
		}
		return err
	})
	return n, err
}

// A userConn is the Conn of a Dialer that is not this module's.
type userConn struct {
	conn     transport.Conn
	panicked func(error) // set by newLink, before there is a second goroutine; may be nil
	reader   io.Reader   // of the current message
	over     atomic.Bool // nothing is to be written any more
}

// call is protect for a method.
func (c *userConn) call(method func() error) error { return c.note(protect(method)) }

// note ends the connection when a method has panicked.
func (c *userConn) note(err error) error {
	if pe, ok := err.(*PanicError); ok && c.panicked != nil {
		c.panicked(pe)
	}
	return err
}

func (c *userConn) Reader() (t transport.MessageType, r io.Reader, err error) {
	err = c.call(func() (err error) {
		if t, c.reader, err = c.conn.Reader(); err == nil && c.reader == nil {
			err = errNoReader
		}
		return err
	})
	return t, c, err
}

// Read reads the current message.
func (c *userConn) Read(p []byte) (int, error) {
	n, err := transfer(p, c.reader.Read)
	return n, c.note(err)
}

func (c *userConn) Write(t transport.MessageType, p []byte) error {
	if c.over.Load() {
		return net.ErrClosed
	}
	return c.call(func() error { return c.conn.Write(t, p) })
}

func (c *userConn) Ping(ctx context.Context) error {
	return c.call(func() error { return c.conn.Ping(ctx) })
}

func (c *userConn) Close(code int, reason string) error {
	return c.call(func() error { return c.conn.Close(code, reason) })
}

func (c *userConn) CloseNow() error { return c.call(c.conn.CloseNow) }

func (c *userConn) Subprotocol() string { return c.conn.Subprotocol() }

// bounded puts the boundary around the connections of a user's Dialer, and finds the
// stream of the module's own ones.
func bounded(c transport.Conn) (transport.Conn, *frames.Stream) {
	if own, ok := c.(frames.Streamer); ok {
		return c, own.Stream()
	}
	return &userConn{conn: c}, nil
}

// A userNetConn is a network connection of a type that is not the standard library's.
// Its methods are called by goroutines of net/http as well, which report the first error
// that they meet. That may be the end of the connection instead of the panic that led to it,
// so that the panic is kept.
type userNetConn struct {
	net.Conn
	panicked atomic.Pointer[PanicError]

	mu    sync.Mutex
	over  bool           // no method but Close is called any more
	calls sync.WaitGroup // of the others
}

// enter counts a call in. The caller must call calls.Done when it returns true.
func (c *userNetConn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.calls.Add(1)
	}
	return !c.over
}

// wait waits until no method is being called, and prevents further calls.
func (c *userNetConn) wait() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.calls.Wait()
}

func (c *userNetConn) note(err error) error {
	if pe, ok := err.(*PanicError); ok {
		c.panicked.CompareAndSwap(nil, pe)
	}
	return err
}

func (c *userNetConn) call(method func() error) error {
	if !c.enter() {
		return net.ErrClosed
	}
	defer c.calls.Done()
	return c.note(protect(method))
}

func (c *userNetConn) Read(p []byte) (n int, err error) {
	if !c.enter() {
		return 0, net.ErrClosed
	}
	defer c.calls.Done()
	n, err = transfer(p, c.Conn.Read)
	return n, c.note(err)
}

func (c *userNetConn) Write(p []byte) (n int, err error) {
	if !c.enter() {
		return 0, net.ErrClosed
	}
	defer c.calls.Done()
	n, err = transfer(p, c.Conn.Write)
	return n, c.note(err)
}

func (c *userNetConn) Close() error { return c.note(protect(c.Conn.Close)) }

func (c *userNetConn) SetDeadline(t time.Time) error {
	return c.call(func() error { return c.Conn.SetDeadline(t) })
}

func (c *userNetConn) SetReadDeadline(t time.Time) error {
	return c.call(func() error { return c.Conn.SetReadDeadline(t) })
}

func (c *userNetConn) SetWriteDeadline(t time.Time) error {
	return c.call(func() error { return c.Conn.SetWriteDeadline(t) })
}

// protectTLS has the functions of t, which is changed, return a panic as an error. They
// are called by goroutines of net/http.
func protectTLS(t *tls.Config) {
	if fn := t.GetClientCertificate; fn != nil {
		t.GetClientCertificate = func(r *tls.CertificateRequestInfo) (c *tls.Certificate, err error) {
			err = protect(func() (err error) {
				if c, err = fn(r); err == nil && c == nil {
					err = errors.New("GetClientCertificate returned neither a certificate nor an error")
				}
				return err
			})
			return c, err
		}
	}
	if fn := t.VerifyPeerCertificate; fn != nil {
		t.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			return protect(func() error { return fn(raw, chains) })
		}
	}
	if fn := t.VerifyConnection; fn != nil {
		t.VerifyConnection = func(state tls.ConnectionState) error {
			return protect(func() error { return fn(state) })
		}
	}
}
