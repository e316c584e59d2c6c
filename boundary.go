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
// function on a goroutine of the client goes through one of the three functions below,
// and each method of an interface that users implement through one of the types, so that
// a panic is an error of that client only.
//
// runtime.Goexit cannot be recovered: it ends the goroutine. What is called rarely runs
// apart, on a goroutine of its own. What is called for each message or each read runs in
// place, under guard, and the goroutine that it ends is replaced: the dispatcher's by loop,
// the reader by link.read, and the writer, whose connection has ended, by the next one's.

// apart runs one of the user's functions on a goroutine of its own, and returns a panic or
// a runtime.Goexit in it as a *PanicError.
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

// guard runs one of the user's functions in place, and returns a panic in it as a
// *PanicError. When the function calls runtime.Goexit, guard does not return, and calls
// exited while the goroutine ends.
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

// protect is guard on the goroutine of the user, which may end.
func protect(fn func() error) error { return guard(fn, func(*PanicError) {}) }

// tryMethods calls the methods of an error, so that one that panics, as of a nil pointer, does
// so here, and not where the error is used.
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

// errNone and noError are in no error, so that looking for them goes through all of it.
var errNone = errors.New("none")

type noError struct{ error }

// needContext returns an error when ctx is nil.
func needContext(ctx context.Context, verb string) error {
	if ctx == nil {
		return &OptionError{Option: verb, Value: "nil", Want: "the context must not be nil"}
	}
	return nil
}

// A userContext is the context given to Connect, whose values goroutines of the client and
// of net/http ask for. When its Value method panics there is no value.
type userContext struct {
	context.Context
	session  *session
	panicked sync.Once // the first time is reported
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

// transfer calls a Read or Write method, and checks the count that it returns.
func transfer(p []byte, do func([]byte) (int, error)) (n int, err error) {
	if n, err = do(p); n < 0 || n > len(p) {
		return 0, fmt.Errorf("%d of %d bytes: invalid count from Read or Write", n, len(p))
	}
	return n, err
}

// A connFault is the first panic in the methods of a connection of the user's.
type connFault struct {
	first atomic.Pointer[PanicError]
	link  atomic.Pointer[link] // that a panic ends; nil while the connection is being made
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

// faults are those of the connections that are the user's.
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

// panicked returns the first panic in a connection of the user's; nil: there was none.
func (d dialed) panicked() *PanicError {
	for _, f := range d.faults() {
		if pe := f.first.Load(); pe != nil {
			return pe
		}
	}
	return nil
}

// A userConn is the Conn of a Dialer that is not this module's. Close and CloseNow of any
// Conn are called apart, since the connection below may be the user's.
type userConn struct {
	connFault
	conn   transport.Conn
	reader io.Reader   // of the current message
	over   atomic.Bool // nothing is to be written any more
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

// bounded puts the boundary around the connections of a user's Dialer, and finds the
// stream of the module's own ones.
func bounded(c transport.Conn) (transport.Conn, *frames.Stream) {
	if own, ok := c.(frames.Streamer); ok {
		return c, own.Stream()
	}
	return &userConn{conn: c}, nil
}

// A userNetConn is a network connection of a type that is not the standard library's.
// While it is being made, its methods are called by goroutines of net/http as well, which
// must not end, and run apart. These report the first error that they meet, which may be
// the end of the connection instead of the panic that led to it.
type userNetConn struct {
	connFault
	net.Conn

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

// live reports whether only the link uses it.
func (c *userNetConn) live() bool { return c.link.Load() != nil }

func (c *userNetConn) Read(p []byte) (n int, err error) {
	err = c.do(func() (err error) { n, err = transfer(p, c.Conn.Read); return err })
	return n, err
}

// do runs a method: apart as long as net/http uses the connection, and in place from then on.
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

// address returns an address without a text instead of none.
func (c *userNetConn) address(method func() net.Addr) net.Addr {
	var addr net.Addr
	_ = c.callApart(func() error { addr = method(); return nil })
	if isNil(addr) {
		return &net.UnixAddr{}
	}
	return addr
}

// protectTLS has the callbacks of t, which is changed, return a panic as an error. They
// are called by goroutines of net/http.
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
