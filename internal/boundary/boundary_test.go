package boundary

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A panicError is the error of a panic in these tests.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprint("panic: ", e.value) }

var users Caller = func(value any, stack []byte) error { return &panicError{value, string(stack)} }

var errOops = errors.New("oops")

// An exiting is an error whose method calls runtime.Goexit.
type exiting struct{}

func (exiting) Error() string { runtime.Goexit(); return "" }

var outcomes = []struct {
	name string
	fn   func() error
	want string
}{
	{"nil", func() error { return nil }, ""},
	{"an error", func() error { return errOops }, "oops"},
	{"panic", func() error { panic("wrong") }, "panic: wrong"},
	{"panic with an error", func() error { panic(errOops) }, "panic: oops"},
	{"panic with nil", func() error { var none any; panic(none) }, "panic: " + new(runtime.PanicNilError).Error()},
	{"an error whose methods panic", func() error { return (*net.OpError)(nil) }, "panic: runtime error: invalid memory address or nil pointer dereference"},
	{"panic with such an error", func() error { panic(&net.OpError{}) }, "panic: *net.OpError, an error whose methods panic too"},
	{"panic with an error whose methods exit", func() error { panic(exiting{}) }, "panic: boundary.exiting, an error whose methods panic too"},
	{"Goexit", func() error { runtime.Goexit(); return nil }, "panic: runtime.Goexit"},
}

func TestOutcomes(t *testing.T) {
	for _, tt := range outcomes {
		t.Run(tt.name, func(t *testing.T) {
			check := func(err error) {
				if tt.want == "" {
					assert.NoError(t, err)
				} else {
					assert.EqualError(t, err, tt.want)
				}
				if pe := (*panicError)(nil); strings.HasPrefix(tt.name, "panic") && assert.ErrorAs(t, err, &pe) {
					assert.Contains(t, pe.stack, "boundary_test.go")
				}
			}
			check(users.Apart(tt.fn))

			inPlace := make(chan error, 2)
			go func() {
				inPlace <- users.Guard(tt.fn, func(err error) { inPlace <- fmt.Errorf("exited: %w", err) })
			}()
			err := <-inPlace
			if tt.name == "Goexit" {
				require.ErrorContains(t, err, "exited: ")
				err = errors.Unwrap(err)
			}
			check(err)

			if tt.name != "Goexit" {
				check(users.Protect(tt.fn))
			}
		})
	}
}

func TestIsNil(t *testing.T) {
	var conn net.Conn
	for _, v := range []any{nil, conn, (*net.TCPConn)(nil), (func())(nil)} {
		assert.True(t, IsNil(v), "%T", v)
	}
	for _, v := range []any{0, "", struct{}{}, new(net.TCPConn), func() {}} {
		assert.False(t, IsNil(v), "%T", v)
	}
}

// A keyed is a context whose Value method calls a function.
type keyed struct {
	context.Context
	value func() any
}

func (c keyed) Value(any) any { return c.value() }

func TestThePanicOfAContextIsReportedOnce(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("wrong") }, "runtime.Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			var errs []error
			value := func() any { return 7 }
			ctx := users.Context(keyed{t.Context(), func() any { return value() }}, func(err error) { errs = append(errs, err) })
			assert.Equal(t, 7, ctx.Value(1))
			require.Empty(t, errs)
			value = func() any { fail(); return 7 }
			assert.Nil(t, ctx.Value(1))
			assert.Nil(t, ctx.Value(1))
			require.Len(t, errs, 1)
			assert.ErrorContains(t, errs[0], "panic: ")
		})
	}
}

func TestCallbacksOfTLS(t *testing.T) {
	users.TLS(&tls.Config{}) // there are none
	for _, tt := range outcomes[1:] {
		t.Run(tt.name, func(t *testing.T) {
			config := &tls.Config{
				GetClientCertificate:                func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, tt.fn() },
				VerifyPeerCertificate:               func([][]byte, [][]*x509.Certificate) error { return tt.fn() },
				VerifyConnection:                    func(tls.ConnectionState) error { return tt.fn() },
				EncryptedClientHelloRejectionVerify: func(tls.ConnectionState) error { return tt.fn() },
			}
			users.TLS(config)
			_, err := config.GetClientCertificate(nil)
			assert.EqualError(t, err, tt.want)
			assert.EqualError(t, config.VerifyPeerCertificate(nil, nil), tt.want)
			assert.EqualError(t, config.VerifyConnection(tls.ConnectionState{}), tt.want)
			assert.EqualError(t, config.EncryptedClientHelloRejectionVerify(tls.ConnectionState{}), tt.want)
		})
	}
	none := &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }}
	users.TLS(none)
	_, err := none.GetClientCertificate(nil)
	assert.ErrorContains(t, err, "neither a certificate nor an error")
}

func TestTheCallbacksOfATLSConfig(t *testing.T) {
	for name, happen := range map[string]func(){"panic": func() { panic("wrong") }, "runtime.Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			conf := &tls.Config{
				GetClientCertificate:                func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { happen(); return nil, nil },
				VerifyPeerCertificate:               func([][]byte, [][]*x509.Certificate) error { happen(); return nil },
				VerifyConnection:                    func(tls.ConnectionState) error { happen(); return nil },
				EncryptedClientHelloRejectionVerify: func(tls.ConnectionState) error { happen(); return nil },
			}
			users.TLS(conf)
			_, err := conf.GetClientCertificate(nil)
			for _, err := range []error{
				err, conf.VerifyPeerCertificate(nil, nil), conf.VerifyConnection(tls.ConnectionState{}),
				conf.EncryptedClientHelloRejectionVerify(tls.ConnectionState{}),
			} {
				assert.ErrorContains(t, err, "panic: ")
			}
		})
	}
}
