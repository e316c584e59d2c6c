package wechatws

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Tier is one stage of the reconnect schedule of [WithTiers]: a number of attempts, each
// after the same delay.
type Tier struct {
	Delay    time.Duration // zero or longer; longer than zero in a tier without end
	Attempts int           // 0: without end, in the last tier only
}

// defaultTiers returns the schedule of the original's _reConnect: 3 s for the first 20
// attempts, 10 s for the next 30, then 450 s without end.
func defaultTiers() []Tier {
	return []Tier{{3 * time.Second, 20}, {10 * time.Second, 30}, {450 * time.Second, 0}}
}

// A tierSchedule is a reconnect schedule in stages, and implements backoff.BackOff. It is not
// safe for concurrent use.
type tierSchedule struct {
	tiers []Tier
	used  int // calls of NextBackOff since Reset
}

var _ backoff.BackOff = (*tierSchedule)(nil)

// newTiers makes a schedule. It ends in backoff.Stop unless its last tier is without end.
func newTiers(tiers ...Tier) (*tierSchedule, error) {
	wrongTier := func(i int, want string) error {
		return wrong("WithTiers", fmt.Sprintf("tier %d: %v × %d", i+1, tiers[i].Delay, tiers[i].Attempts), want)
	}
	if len(tiers) == 0 {
		return nil, wrong("WithTiers", "none", "give at least one tier, or WithoutReconnect")
	}
	for i, t := range tiers {
		switch {
		case t.Delay < 0:
			return nil, wrongTier(i, "the delay must not be negative")
		case t.Attempts < 0:
			return nil, wrongTier(i, "the attempts must not be negative")
		case t.Attempts == 0 && i < len(tiers)-1:
			return nil, wrongTier(i, "only the last tier may go on for ever (0 attempts)")
		case lacksUnit(t.Delay):
			return nil, wrongTier(i, "the delay "+needsUnit)
		case t.Attempts == 0 && t.Delay == 0:
			return nil, wrongTier(i, "a delay of 0 for ever would try without a pause")
		}
	}
	return &tierSchedule{tiers: slices.Clone(tiers)}, nil
}

// NextBackOff returns the delay before the next attempt, or backoff.Stop when the last tier
// is used up.
func (t *tierSchedule) NextBackOff() time.Duration {
	n := t.used
	for _, tier := range t.tiers {
		if tier.Attempts == 0 || n < tier.Attempts {
			t.used++
			return tier.Delay
		}
		n -= tier.Attempts
	}
	return backoff.Stop
}

// Reset returns to the first tier.
func (t *tierSchedule) Reset() { t.used = 0 }

// A schedule decides after each failure whether another attempt follows, and when. It belongs
// to the goroutine of a session.
type schedule struct {
	cfg     *config
	backoff backoff.BackOff // nil: no reconnect
	attempt int             // number of the attempt under way, from 1
	opened  bool            // a connection has been open
	kind    int             // of the last failure
	repeats int             // failures of that kind in a row
	since   time.Time       // of the first of them
}

func newSchedule(cfg *config) (*schedule, error) {
	s := &schedule{cfg: cfg, attempt: 1}
	if cfg.newBackOff != nil {
		if s.backoff = cfg.newBackOff(); isNil(s.backoff) {
			return nil, wrong("WithBackOff", "nil", "the function must return a backoff.BackOff")
		}
		s.backoff.Reset()
	}
	return s, nil
}

// ended records the end of a connection that was open for the given time.
func (s *schedule) ended(lasted time.Duration) {
	if lasted < s.cfg.stableAfter {
		return
	}
	s.kind, s.repeats = 0, 0
	if s.cfg.neverReset {
		return
	}
	s.attempt = 0
	if s.backoff != nil {
		s.backoff.Reset()
	}
}

// next returns how long to wait after err, or over if no attempt follows.
func (s *schedule) next(err error) (wait time.Duration, over bool) {
	if k := kind(err); k != s.kind || k == 0 {
		s.kind, s.repeats, s.since = k, 0, time.Now()
	}
	s.repeats++
	if s.backoff == nil || isPermanent(err) {
		return 0, true
	}
	f := Failure{Err: err, Opened: s.opened, Repeats: s.repeats, FreshEndpoint: !s.cfg.fixed}
	f.Persistent = s.repeats >= patience && time.Since(s.since) >= s.cfg.permanentAfter
	if !s.cfg.retryIf(f) {
		return 0, true
	}
	wait = s.backoff.NextBackOff()
	if wait == backoff.Stop {
		return 0, true
	}
	if j := s.cfg.jitter; j > 0 {
		// A product that overflows a Duration would be negative.
		if spread := float64(wait) * (1 - j + 2*j*rand.Float64()); spread < math.MaxInt64 {
			wait = time.Duration(spread)
		}
	}
	if he := (*HandshakeError)(nil); errors.As(err, &he) {
		wait = max(wait, he.RetryAfter)
	}
	s.attempt++
	return max(wait, 0), false
}

// maxRetryAfter bounds the Retry-After of a server: a wrong clock or a misplaced zero must not
// stop a client for a year.
const maxRetryAfter = 10 * time.Minute

// retryAfter returns the Retry-After of a 429 or 503, which is in seconds or an HTTP date. It
// returns zero for all other responses and values.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	value := resp.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return maxRetryAfter
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
