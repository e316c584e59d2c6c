// Package boundary calls the functions of users, and the methods of types that users implement. A
// panic in one is an error, and so are runtime.Goexit and an invalid result: the process and the
// other clients go on.
//
// runtime.Goexit cannot be recovered: it ends the goroutine. Functions that are called rarely run
// apart, on a goroutine of their own. Functions that are called for each message or each read run
// in place, and a goroutine that one of them ends must be replaced.
package boundary

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
)

// A Caller calls functions of users. It is the function that makes the error of a panic: value is
// the argument of panic, or ErrGoexit; stack is that of [debug.Stack].
type Caller func(value any, stack []byte) error

// ErrGoexit is the value of an error that stands for runtime.Goexit.
var ErrGoexit = errors.New("runtime.Goexit")

// Apart runs fn on a goroutine of its own and waits for it. It returns the error of fn, or that of
// a panic or a runtime.Goexit in it.
func (c Caller) Apart(fn func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = c.Guard(fn, func(exit error) { err = exit })
	}()
	<-done
	return err
}

// Guard runs fn in place, and returns its error, or that of a panic in it. If fn calls
// runtime.Goexit, Guard does not return, but calls exited while the goroutine ends.
func (c Caller) Guard(fn func() error, exited func(error)) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			err = c.Error(v)
			return
		}
		exited(c.Error(ErrGoexit))
	}()
	if err = fn(); err != nil {
		tryMethods(err)
	}
	returned = true
	return err
}

// Protect is Guard on a goroutine that may end.
func (c Caller) Protect(fn func() error) error { return c.Guard(fn, func(error) {}) }

// Error returns the error of a panic with this value. It is called on the goroutine of the panic,
// while it is being recovered.
func (c Caller) Error(value any) error {
	stack := debug.Stack()
	if err, ok := value.(error); ok && !works(err) {
		value = fmt.Sprintf("%T, an error whose methods panic too", value)
	}
	return c(value, stack)
}

// works reports whether the methods of an error return.
func works(err error) (ok bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		tryMethods(err)
		ok = true
	}()
	<-done
	return ok
}

// tryMethods calls the methods of an error, so that a method that panics, such as one of a nil
// pointer, does so here and not where the error is used.
func tryMethods(err error) {
	_ = err.Error()
	_ = errors.Is(err, errNone) || errors.As(err, new(noError))
}

// No error wraps errNone or noError, so that a search for them reaches every error of a chain.
var errNone = errors.New("none")

type noError struct{ error }

// IsNil reports whether v, which is an interface, is nil or holds a nil pointer or function.
func IsNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}

// transfer calls a Read or Write method, and returns an error if its count is invalid.
func transfer(p []byte, do func([]byte) (int, error)) (n int, err error) {
	if n, err = do(p); n < 0 || n > len(p) {
		return 0, fmt.Errorf("%d of %d bytes: invalid count from Read or Write", n, len(p))
	}
	return n, err
}

// Context returns a context like ctx. If the Value method of ctx panics, there is no value, and
// panicked is called, once.
func (c Caller) Context(ctx context.Context, panicked func(error)) context.Context {
	return &userContext{Context: ctx, users: c, panicked: panicked}
}

type userContext struct {
	context.Context
	users    Caller
	panicked func(error)
	once     sync.Once
}

func (c *userContext) Value(key any) (value any) {
	err := c.users.Apart(func() error { value = c.Context.Value(key); return nil })
	if err != nil {
		c.once.Do(func() { c.panicked(err) })
	}
	return value
}

// TLS changes the callbacks of t, which goroutines of net/http call, so that they return a panic as
// an error.
func (c Caller) TLS(t *tls.Config) {
	if fn := t.GetClientCertificate; fn != nil {
		t.GetClientCertificate = func(r *tls.CertificateRequestInfo) (cert *tls.Certificate, err error) {
			err = c.Apart(func() (err error) {
				if cert, err = fn(r); err == nil && cert == nil {
					err = errors.New("GetClientCertificate returned neither a certificate nor an error")
				}
				return err
			})
			return cert, err
		}
	}
	if fn := t.VerifyPeerCertificate; fn != nil {
		t.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			return c.Apart(func() error { return fn(raw, chains) })
		}
	}
	if fn := t.VerifyConnection; fn != nil {
		t.VerifyConnection = func(state tls.ConnectionState) error {
			return c.Apart(func() error { return fn(state) })
		}
	}
	if fn := t.EncryptedClientHelloRejectionVerify; fn != nil {
		t.EncryptedClientHelloRejectionVerify = func(state tls.ConnectionState) error {
			return c.Apart(func() error { return fn(state) })
		}
	}
}
