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

// This file is the boundary between the client and the functions of its user. Each call of such
// a function on a goroutine of the client goes through apart, guard or protect, and each method
// of an interface that users implement through one of the types, so that a panic is an error of
// that client only.
//
// runtime.Goexit cannot be recovered: it ends the goroutine. Functions that are called rarely
// run apart, on a goroutine of their own. Functions that are called for each message or each
// read run in place, under guard, and a goroutine that one of them ends is replaced: the
// dispatcher's by loop, the reader by link.read, and the writer, whose connection has ended, by
// that of the next connection.

// apart runs one of the user's functions on a goroutine of its own and waits for it. It returns
// a panic or a runtime.Goexit in it as a *PanicError.
func apart(fn func() error) (err error) {
	done := make(chan struct{})
	go runApart(fn, &err, done)
	<-done
	return err
}

func runApart(fn func() error, err *error, done chan<- struct{}) {
	defer close(done)
	*err = guard(fn, func(pe *PanicError) { *err = pe })
}

// guard runs one of the user's functions in place, and returns a panic in it as a *PanicError.
// If the function calls runtime.Goexit, guard does not return, but calls exited while the
// goroutine ends.
func guard(fn func() error, exited func(*PanicError)) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		v := recover()
		if v != nil {
			err = newPanicError(v)
			return
		}
		exited(newPanicError(errGoexit))
	}()
	if err = fn(); err != nil {
		tryMethods(err)
	}
	returned = true
	return err
}

// protect is guard on the goroutine of the caller of an exported function, which may end.
func protect(fn func() error) error { return guard(fn, func(*PanicError) {}) }

// tryMethods calls the methods of an error, so that a method that panics, such as one of a nil
// pointer, does so here and not where the error is used.
func tryMethods(err error) {
	_ = err.Error()
	_ = errors.Is(err, errNone) || errors.As(err, new(noError))
}

// newPanicError is called while v is being recovered.
func newPanicError(v any) *PanicError {
	pe := &PanicError{Value: v, Stack: debug.Stack()}
	if err, ok := v.(error); ok && protect(func() error { tryMethods(err); return nil }) != nil {
		pe.Value = fmt.Sprintf("%T, an error whose methods panic too", v)
	}
	return pe
}

// errGoexit is the value of a PanicError that stands for runtime.Goexit.
var errGoexit = errors.New("runtime.Goexit")

// No error wraps errNone or noError, so that a search for them reaches every error of a chain.
var errNone = errors.New("none")

type noError struct{ error }

// needContext returns an error when ctx is nil.
func needContext(ctx context.Context, verb string) error {
	if ctx == nil {
		return &OptionError{Option: verb, Value: "nil", Want: "the context must not be nil"}
	}
	return nil
}

// A userContext is the context given to Connect, whose Value method goroutines of the client and
// of net/http call. If that panics, there is no value.
type userContext struct {
	context.Context
	session  *session
	panicked sync.Once // the first panic is reported
}

func (c *userContext) Value(key any) (value any) {
	err := apart(func() error { value = c.Context.Value(key); return nil })
	if err != nil {
		c.panicked.Do(func() { c.session.client.reportLater(c.session, err) })
	}
	return value
}

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

// transfer calls a Read or Write method, and returns an error if its count is invalid.
func transfer(p []byte, do func([]byte) (int, error)) (n int, err error) {
	if n, err = do(p); n < 0 || n > len(p) {
		return 0, fmt.Errorf("%d of %d bytes: invalid count from Read or Write", n, len(p))
	}
	return n, err
}

// A connFault records the first panic in the methods of a connection of the user's.
type connFault struct {
	first atomic.Pointer[PanicError]
	link  atomic.Pointer[link] // the link that a panic ends; nil while the connection is made
}

// call runs a method in place.
func (f *connFault) call(method func() error) error { return f.note(guard(method, f.exited)) }

func (f *connFault) exited(pe *PanicError) { _ = f.note(pe) }

func (f *connFault) note(err error) error {
	if pe, ok := err.(*PanicError); ok {
		f.first.CompareAndSwap(nil, pe)
		if l := f.link.Load(); l != nil {
			l.connPanicked(pe)
		}
	}
	return err
}

// faults returns the faults of those connections that are the user's.
func (d dialed) faults() (faults []*connFault) {
	if c, ok := d.conn.(*userConn); ok {
		faults = append(faults, &c.connFault)
	}
	if d.wire != nil {
		if c, ok := d.wire.Conn.(*userNetConn); ok {
			faults = append(faults, &c.connFault)
		}
	}
	return faults
}

// panicked returns the first panic in a connection of the user's, or nil.
func (d dialed) panicked() *PanicError {
	for _, f := range d.faults() {
		if pe := f.first.Load(); pe != nil {
			return pe
		}
	}
	return nil
}

// A userConn is the Conn of a Dialer that is not this module's. Close and CloseNow of any Conn
// are called apart, since the network connection below may be the user's.
type userConn struct {
	connFault
	conn   transport.Conn
	reader io.Reader   // of the current message
	over   atomic.Bool // nothing may be written
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
func (c *userConn) Read(p []byte) (n int, err error) {
	err = c.call(func() (err error) { n, err = transfer(p, c.reader.Read); return err })
	return n, err
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

// bounded returns the connection of a user's Dialer as a userConn, and a connection of one of
// this module's with its stream.
func bounded(c transport.Conn) (transport.Conn, *frames.Stream) {
	if own, ok := c.(frames.Streamer); ok {
		return c, own.Stream()
	}
	return &userConn{conn: c}, nil
}

// A userNetConn is a network connection of a type that is not the standard library's. While the
// WebSocket connection is being made, goroutines of net/http call its methods too; these
// goroutines must not end, so the methods run apart. net/http returns the first error that it
// meets, which may be the end of the connection instead of the panic that has caused it.
type userNetConn struct {
	connFault
	net.Conn

	mu    sync.Mutex     // guards over, and calls.Add
	over  bool           // only Close may be called
	calls sync.WaitGroup // calls of the other methods
}

// enter counts a call in, and reports whether it may be made. If it returns true, the caller must
// call calls.Done.
func (c *userNetConn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.calls.Add(1)
	}
	return !c.over
}

// wait prevents further calls, and waits until no method is being called.
func (c *userNetConn) wait() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.calls.Wait()
}

// live reports whether only the link uses the connection.
func (c *userNetConn) live() bool { return c.link.Load() != nil }

func (c *userNetConn) Read(p []byte) (n int, err error) {
	err = c.do(func() (err error) { n, err = transfer(p, c.Conn.Read); return err })
	return n, err
}

// do runs a method: apart while net/http uses the connection, and in place after that.
func (c *userNetConn) do(method func() error) error {
	if !c.enter() {
		return net.ErrClosed
	}
	defer c.calls.Done()
	if c.live() {
		return c.call(method)
	}
	return c.note(apart(method))
}

func (c *userNetConn) Write(p []byte) (n int, err error) {
	err = c.do(func() (err error) { n, err = transfer(p, c.Conn.Write); return err })
	return n, err
}

// callApart always runs a method apart.
func (c *userNetConn) callApart(method func() error) error {
	if !c.enter() {
		return net.ErrClosed
	}
	defer c.calls.Done()
	return c.note(apart(method))
}

func (c *userNetConn) Close() error { return c.note(apart(c.Conn.Close)) }

func (c *userNetConn) SetDeadline(t time.Time) error {
	return c.callApart(func() error { return c.Conn.SetDeadline(t) })
}

func (c *userNetConn) SetReadDeadline(t time.Time) error {
	return c.callApart(func() error { return c.Conn.SetReadDeadline(t) })
}

func (c *userNetConn) SetWriteDeadline(t time.Time) error {
	return c.do(func() error { return c.Conn.SetWriteDeadline(t) })
}

func (c *userNetConn) LocalAddr() net.Addr { return c.address(c.Conn.LocalAddr) }

func (c *userNetConn) RemoteAddr() net.Addr { return c.address(c.Conn.RemoteAddr) }

// address returns an empty address if the method returns nil.
func (c *userNetConn) address(method func() net.Addr) net.Addr {
	var addr net.Addr
	_ = c.callApart(func() error { addr = method(); return nil })
	if isNil(addr) {
		return &net.UnixAddr{}
	}
	return addr
}

// protectTLS changes the callbacks of t so that they return a panic as an error. Goroutines of
// net/http call them.
func protectTLS(t *tls.Config) {
	if fn := t.GetClientCertificate; fn != nil {
		t.GetClientCertificate = func(r *tls.CertificateRequestInfo) (c *tls.Certificate, err error) {
			err = apart(func() (err error) {
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
			return apart(func() error { return fn(raw, chains) })
		}
	}
	if fn := t.VerifyConnection; fn != nil {
		t.VerifyConnection = func(state tls.ConnectionState) error {
			return apart(func() error { return fn(state) })
		}
	}
	if fn := t.EncryptedClientHelloRejectionVerify; fn != nil {
		t.EncryptedClientHelloRejectionVerify = func(state tls.ConnectionState) error {
			return apart(func() error { return fn(state) })
		}
	}
}
