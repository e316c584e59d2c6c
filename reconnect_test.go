package wechatws

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

func TestTiersRefuseNonsense(t *testing.T) {
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
	s, err := newSchedule(&c.cfg)
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

func TestRetryAfterIsAFloor(t *testing.T) {
	s := testSchedule(t, WithTiers(Tier{Delay: 10 * time.Second}), WithJitter(0.5))
	busy := func(after time.Duration) error {
		return &DialError{Err: &HandshakeError{Status: 503, RetryAfter: after}}
	}
	wait, _ := s.next(busy(time.Minute))
	assert.Equal(t, time.Minute, wait)
	wait, _ = s.next(busy(time.Second))
	assert.GreaterOrEqual(t, wait, 5*time.Second)
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"7", "-1", "Mon, 23 Nov 2026 12:00:30 GMT", "99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := retryAfter(&http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {value}}}, time.Now())
		require.True(t, got >= 0 && got <= maxRetryAfter, "%v", got)
	})
}
