package wechatws

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// next asks for the verdict and then for the delay, as a session does.
func (s *schedule) next(err error) (wait time.Duration, over bool) {
	if s.isOver(err) {
		return 0, true
	}
	return s.delay(err)
}

func TestDefaultTiersAreTheOriginals(t *testing.T) {
	tiers, err := newTiers(defaultTiers()...)
	require.NoError(t, err)
	for round := range 2 {
		for n := 1; n <= 200; n++ {
			want := 450 * time.Second
			if n <= 20 {
				want = 3 * time.Second
			} else if n <= 50 {
				want = 10 * time.Second
			}
			require.Equal(t, want, tiers.NextBackOff(), "round %d, attempt %d", round, n)
		}
		tiers.Reset()
	}
}

func TestTiersEndInStop(t *testing.T) {
	tiers, err := newTiers(Tier{time.Second, 1}, Tier{2 * time.Second, 2})
	require.NoError(t, err)
	var got []time.Duration
	for range 5 {
		got = append(got, tiers.NextBackOff())
	}
	assert.Equal(t, []time.Duration{time.Second, 2 * time.Second, 2 * time.Second, backoff.Stop, backoff.Stop}, got)
}

func TestInvalidTiersAreRefused(t *testing.T) {
	for _, tt := range []struct {
		tiers []Tier
		want  string
	}{
		{nil, "wechatws: WithTiers(none): give at least one tier, or WithoutReconnect"},
		{[]Tier{{-time.Second, 1}}, "wechatws: WithTiers(tier 1: -1s × 1): the delay must not be negative"},
		{[]Tier{{time.Second, -1}}, "wechatws: WithTiers(tier 1: 1s × -1): the attempts must not be negative"},
		{[]Tier{{time.Second, 0}, {time.Second, 3}}, "wechatws: WithTiers(tier 1: 1s × 0): only the last tier may go on for ever (0 attempts)"},
	} {
		_, err := newTiers(tt.tiers...)
		assert.EqualError(t, err, tt.want)
	}
}

func testSchedule(t *testing.T, options ...Option) *schedule {
	t.Helper()
	c, err := New("ws://localhost", options...)
	require.NoError(t, err)
	s, err := newSchedule(c.cfg)
	require.NoError(t, err)
	return s
}

func TestScheduleResetsAfterAStableConnection(t *testing.T) {
	s := testSchedule(t, WithTiers(Tier{1 * time.Second, 2}, Tier{2 * time.Second, 0}), WithStableAfter(time.Minute))
	wait := func() time.Duration { d, _ := s.next(io.EOF); return d }
	assert.Equal(t, time.Second, wait())
	s.ended(time.Minute - 1)
	assert.Equal(t, time.Second, wait())
	assert.Equal(t, 3, s.attempt)
	assert.Equal(t, 2*time.Second, wait())
	s.ended(time.Minute)
	assert.Equal(t, time.Second, wait())
	assert.Equal(t, 1, s.attempt)
}

func TestOriginalCountingNeverResets(t *testing.T) {
	s := testSchedule(t, WithOriginalCounting())
	for n := range 60 {
		s.ended(time.Hour)
		wait, over := s.next(&CloseError{Code: StatusPolicyViolation, Remote: true})
		want := 450 * time.Second
		if n < 20 {
			want = 3 * time.Second
		} else if n < 50 {
			want = 10 * time.Second
		}
		require.Equal(t, want, wait)
		require.False(t, over, "stable connections in between: only the waits are the original's")
	}
}

func TestBackOffReplacesTheTiers(t *testing.T) {
	s := testSchedule(t, WithBackOff(func() backoff.BackOff {
		return backoff.WithMaxRetries(backoff.NewConstantBackOff(7*time.Second), 2)
	}))
	for range 2 {
		wait, over := s.next(io.EOF)
		assert.Equal(t, 7*time.Second, wait)
		assert.False(t, over)
	}
	_, over := s.next(io.EOF)
	assert.True(t, over, "backoff.Stop")
}

func TestJitterSpreadsEvenly(t *testing.T) {
	s := testSchedule(t, WithTiers(Tier{Delay: 10 * time.Second}), WithJitter(0.2))
	var buckets [8]int
	for range 8000 {
		wait, _ := s.next(io.EOF)
		require.GreaterOrEqual(t, wait, 8*time.Second)
		require.Less(t, wait, 12*time.Second)
		buckets[(wait-8*time.Second)/(500*time.Millisecond)]++
	}
	for _, n := range buckets {
		assert.InDelta(t, 1000, n, 200)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		status int
		value  string
		want   time.Duration
	}{
		{429, "7", 7 * time.Second},
		{503, "7", 7 * time.Second},
		{503, "0", 0},
		{503, "Mon, 23 Nov 2026 12:00:30 GMT", 30 * time.Second},
		{503, "Monday, 23-Nov-26 12:00:30 GMT", 30 * time.Second},
		{503, "Mon, 23 Nov 2026 11:00:00 GMT", 0},
		{503, "Mon, 23 Nov 2099 11:00:00 GMT", maxRetryAfter},
		{503, "86400", maxRetryAfter},
		{503, "99999999999999999999999999", maxRetryAfter},
		{503, "-5", 0},
		{503, "1.5", 0},
		{503, "soon", 0},
		{503, "", 0},
		{500, "7", 0},
		{302, "7", 0},
	} {
		resp := &http.Response{StatusCode: tt.status, Header: http.Header{"Retry-After": {tt.value}}}
		assert.Equal(t, tt.want, retryAfter(resp, now), "%d %q", tt.status, tt.value)
	}
}

// A date is read by the clock of the server that sent it, if the answer has a Date.
func TestARetryAfterDateIsReadAgainstTheDateOfTheAnswer(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		value, date string
		want        time.Duration
	}{
		{"Fri, 02 Jan 1970 00:00:30 GMT", "Fri, 02 Jan 1970 00:00:00 GMT", 30 * time.Second},
		{"Mon, 23 Nov 2099 11:00:30 GMT", "Mon, 23 Nov 2099 11:00:00 GMT", 30 * time.Second},
		{"Monday, 23-Nov-26 11:00:30 GMT", "Mon, 23 Nov 2026 11:00:00 GMT", 30 * time.Second},
		{"Mon, 23 Nov 2026 12:00:30 GMT", "Mon, 23 Nov 2026 13:00:00 GMT", 0},
		{"Mon, 23 Nov 2026 12:00:30 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", maxRetryAfter},
		{"Mon, 23 Nov 2026 12:00:30 GMT", "now", 30 * time.Second},
		{"7", "Mon, 23 Nov 2099 11:00:00 GMT", 7 * time.Second},
	} {
		resp := &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {tt.value}, "Date": {tt.date}}}
		assert.Equal(t, tt.want, retryAfter(resp, now), "%q at %q", tt.value, tt.date)
	}
}

// What a server asks for is the shortest wait, and is spread upwards, by the jitter or by a
// tenth. It does not shorten the wait of the schedule, whose spread remains.
func TestRetryAfterIsAFloor(t *testing.T) {
	for _, tt := range []struct {
		delay    time.Duration
		options  []Option
		after    time.Duration
		min, max time.Duration
	}{
		{10 * time.Second, []Option{WithJitter(0.5)}, time.Minute, time.Minute, 90 * time.Second},
		{10 * time.Second, []Option{WithJitter(1)}, time.Minute, time.Minute, 2 * time.Minute},
		{10 * time.Second, []Option{WithJitter(0.01)}, time.Minute, time.Minute, 60600 * time.Millisecond},
		{10 * time.Second, nil, time.Minute, time.Minute, 66 * time.Second},
		{10 * time.Second, []Option{WithJitter(0)}, time.Minute, time.Minute, 66 * time.Second},
		{10 * time.Second, []Option{WithJitter(0.5)}, time.Second, 5 * time.Second, 15 * time.Second},
		{10 * time.Second, nil, 0, 10 * time.Second, 10 * time.Second},
		{10 * time.Second, nil, maxRetryAfter, maxRetryAfter, 11 * time.Minute},
		{450 * time.Second, nil, time.Minute, 450 * time.Second, 450 * time.Second},
		{450 * time.Second, nil, 449 * time.Second, 450 * time.Second, 494 * time.Second},
		{450 * time.Second, []Option{WithJitter(0.2)}, time.Minute, 360 * time.Second, 540 * time.Second},
	} {
		s := testSchedule(t, append(tt.options, WithTiers(Tier{Delay: tt.delay}))...)
		least, most := time.Duration(math.MaxInt64), time.Duration(0)
		for range 1000 {
			wait, over := s.next(&DialError{Err: &HandshakeError{Status: 503, RetryAfter: tt.after}})
			require.False(t, over)
			least, most = min(least, wait), max(most, wait)
		}
		name := fmt.Sprintf("%v, after %v", tt.delay, tt.after)
		assert.GreaterOrEqual(t, least, tt.min, name)
		assert.LessOrEqual(t, most, tt.max, name)
		assert.InDelta(t, tt.min, least, float64(tt.max-tt.min)/10, "%s: the whole range is used", name)
		assert.InDelta(t, tt.max, most, float64(tt.max-tt.min)/10, "%s: the whole range is used", name)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"7", "-1", "Mon, 23 Nov 2026 12:00:30 GMT", "99999999999999999999"} {
		f.Add(seed, "")
		f.Add(seed, "Sun, 06 Nov 1994 08:49:37 GMT")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		header := http.Header{"Retry-After": {value}, "Date": {date}}
		got := retryAfter(&http.Response{StatusCode: 503, Header: header}, time.Now())
		require.True(t, got >= 0 && got <= maxRetryAfter, "%v", got)
	})
}

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

func TestPermanentChangesNothingElseOfAnError(t *testing.T) {
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

func TestPermanentErrorsAreRecognized(t *testing.T) {
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

func TestPermanentEndsTheClientBeforeThePolicyIsCalled(t *testing.T) {
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
