package wechatws

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
)

func TestDefaultRetryIf(t *testing.T) {
	status := func(code int) error {
		return &DialError{Phase: phaseHandshake, Err: &HandshakeError{Status: code}}
	}
	remote := func(code StatusCode) error { return &CloseError{Code: code, Remote: true} }
	certificate := &DialError{Phase: phaseTLS, Err: x509.UnknownAuthorityError{}}

	atOnce := map[int]bool{400: true, 401: true, 403: true, 404: true, 405: true, 407: true, 410: true, 426: true, 501: true}
	thirdTime := map[int]bool{401: true, 403: true, 407: true, 410: true}
	tunnel := func(code int) error { return &DialError{Phase: phaseProxy, Err: &ProxyError{Status: code}} }
	for code := 200; code < 600; code++ {
		assert.Equal(t, atOnce[code], !DefaultRetryIf(Failure{Err: status(code), Repeats: 1}), "%d before the first open", code)
		for repeats := 1; repeats <= 4; repeats++ {
			want := thirdTime[code] && repeats >= 3
			f := Failure{Opened: true, Repeats: repeats, Persistent: repeats >= 3}
			f.Err = status(code)
			assert.Equal(t, want, !DefaultRetryIf(f), "%d, time %d", code, repeats)
			f.Err = tunnel(code)
			assert.Equal(t, want && code == 407, !DefaultRetryIf(f), "no tunnel: %d, time %d", code, repeats)
			assert.True(t, DefaultRetryIf(Failure{Err: status(code), Opened: true, Repeats: repeats}), "%d, time %d within seconds", code, repeats)
		}
		assert.Equal(t, code == 407, !DefaultRetryIf(Failure{Err: tunnel(code), Repeats: 1}), "no tunnel: %d before the first open", code)
	}
	closes := map[StatusCode]bool{1002: true, 1003: true, 1007: true, 1008: true, 1010: true}
	for code := StatusCode(1000); code < 5000; code++ {
		for repeats := 1; repeats <= 3; repeats++ {
			want := closes[code] && repeats >= 3
			assert.Equal(t, want, !DefaultRetryIf(Failure{Err: remote(code), Opened: true, Repeats: repeats, Persistent: repeats >= 3}), "close %d, time %d", code, repeats)
			assert.Equal(t, want, !DefaultRetryIf(Failure{Err: remote(code), Repeats: repeats}), "close %d before the first open, time %d", code, repeats)
			assert.True(t, DefaultRetryIf(Failure{Err: remote(code), Opened: true, Repeats: repeats}), "close %d, time %d within seconds", code, repeats)
		}
		assert.True(t, DefaultRetryIf(Failure{Err: &CloseError{Code: code}, Opened: true, Repeats: 9}), "own close %d", code)
	}
	for _, code := range []int{401, 403} {
		assert.True(t, DefaultRetryIf(Failure{Err: status(code), Repeats: 1, FreshEndpoint: true}), "a first %d with fresh credentials", code)
		assert.False(t, DefaultRetryIf(Failure{Err: status(code), Repeats: 2, FreshEndpoint: true}), "a second %d", code)
	}
	assert.True(t, DefaultRetryIf(Failure{Err: tunnel(407), Repeats: 1, FreshEndpoint: true}))
	assert.False(t, DefaultRetryIf(Failure{Err: tunnel(407), Repeats: 2, FreshEndpoint: true}))
	assert.False(t, DefaultRetryIf(Failure{Err: status(404), Repeats: 1, FreshEndpoint: true}))
	assert.False(t, DefaultRetryIf(Failure{Err: certificate, Repeats: 1}))
	assert.True(t, DefaultRetryIf(Failure{Err: certificate, Opened: true, Repeats: 9}), "a certificate renewed late")
	assert.True(t, DefaultRetryIf(Failure{Err: &DialError{Phase: phaseConnect, Err: io.EOF}, Repeats: 99}))
}

func TestScheduleCountsTheSameFailureInARow(t *testing.T) {
	s := testSchedule(t, WithPermanentAfter(0))
	s.opened = true
	policy := &CloseError{Code: StatusPolicyViolation, Remote: true}
	next := func(err error) bool { _, over := s.next(err); return over }

	assert.False(t, next(policy))
	assert.False(t, next(policy))
	assert.False(t, next(io.EOF), "something else in between")
	assert.False(t, next(policy))
	assert.False(t, next(policy))
	s.ended(5 * time.Second)
	assert.False(t, next(policy), "a stable connection in between")
	assert.False(t, next(policy))
	s.ended(5*time.Second - 1)
	assert.True(t, next(policy), "the connection in between was not stable")
}

func TestPermanentIsAMarkThatChangesNothingElse(t *testing.T) {
	assert.NoError(t, Permanent(nil))
	cause := &HandshakeError{Status: 403}
	marked := Permanent(cause)
	assert.EqualError(t, marked, cause.Error())
	assert.ErrorIs(t, marked, cause)
	var he *HandshakeError
	assert.ErrorAs(t, marked, &he)
}

// marked has the method that errors of other libraries have.
type marked struct{ error }

func (marked) Permanent() bool { return true }

func TestWhatIsRecognisedAsPermanent(t *testing.T) {
	gone := errors.New("gone")
	for name, mark := range map[string]func(error) error{"ours": Permanent, "v4": backoff.Permanent} {
		for below, err := range map[string]error{
			"itself":      mark(gone),
			"wrapped":     fmt.Errorf("login: %w", mark(gone)),
			"joined":      errors.Join(io.EOF, mark(gone)),
			"dial":        &DialError{Phase: phaseLogin, Err: mark(gone)},
			"network":     &DialError{Phase: phaseConnect, Err: &networkError{"gone", mark(gone)}},
			"proxy":       &networkError{"proxy", &proxyError{networkError{"proxy", mark(gone)}}},
			"close":       &CloseError{Code: 1006, Err: mark(gone)},
			"panic":       &PanicError{Value: mark(gone)},
			"marks twice": mark(mark(gone)),
		} {
			assert.True(t, isPermanent(err), "%s, %s", name, below)
			assert.False(t, DefaultRetryIf(Failure{Err: err}), "%s, %s", name, below)
		}
	}
	for _, err := range []error{nil, io.EOF, marked{io.EOF}, fmt.Errorf("login: %w", io.EOF)} {
		assert.False(t, isPermanent(err), "%v", err)
	}
}

func TestPermanentEndsTheClientBeforeThePolicyIsAsked(t *testing.T) {
	asked := 0
	s := testSchedule(t, WithRetryIf(func(Failure) bool { asked++; return true }))
	for _, mark := range []func(error) error{Permanent, backoff.Permanent} {
		_, over := s.next(&DialError{Phase: phaseLogin, Err: fmt.Errorf("no: %w", mark(errors.New("revoked")))})
		assert.True(t, over)
	}
	assert.Zero(t, asked)
	_, over := s.next(&DialError{Err: &HandshakeError{Status: 404}})
	assert.False(t, over, "the policy replaces DefaultRetryIf")
	assert.Equal(t, 1, asked)
}

func TestWithRetryIfEndsTheClientWhenItReportsFalse(t *testing.T) {
	s := testSchedule(t, WithRetryIf(func(f Failure) bool { return f.Repeats < 2 }))
	busy := &DialError{Err: &HandshakeError{Status: 503}}
	_, over := s.next(busy)
	assert.False(t, over)
	_, over = s.next(busy)
	assert.True(t, over)
}

// Refusals that alternate are temporary, however long they last.
func TestRefusalsThatAlternateAreRetried(t *testing.T) {
	s := testSchedule(t, WithPermanentAfter(0))
	s.opened = true
	for n := range 1000 {
		_, over := s.next(&DialError{Err: &HandshakeError{Status: []int{401, 403}[n%2]}})
		assert.False(t, over, n)
	}
}
