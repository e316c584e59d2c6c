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
	Delay    time.Duration
	Attempts int // 0 means for ever, which is allowed for the last tier only
}

// defaultTiers is the schedule of the original's _reConnect: 3 s for the first
// 20 attempts, 10 s for the next 30, then 450 s for ever.
func defaultTiers() []Tier {
	return []Tier{{3 * time.Second, 20}, {10 * time.Second, 30}, {450 * time.Second, 0}}
}

// A tierSchedule is a reconnect schedule in stages, and a backoff.BackOff. It is not safe
// for concurrent use: a schedule has a position and belongs to one client.
type tierSchedule struct {
	tiers []Tier
	used  int // attempts handed out since Reset
}

var _ backoff.BackOff = (*tierSchedule)(nil)

// newTiers makes a schedule. Unless its last tier goes on for ever, it ends in
// backoff.Stop.
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
		}
	}
	return &tierSchedule{tiers: slices.Clone(tiers)}, nil
}

// NextBackOff returns the delay before the next attempt, or backoff.Stop when
// the last tier is used up.
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

// Reset goes back to the first tier.
func (t *tierSchedule) Reset() { t.used = 0 }

// A schedule decides after each failure: how long to wait, or that it is over.
type schedule struct {
	cfg     *config
	backoff backoff.BackOff // nil: no reconnect
	attempt int             // the attempt under way, from 1
	opened  bool
	kind    int // of the last failure
	repeats int
	since   time.Time // when the first of these repeats came
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

// ended records a connection that was open for so long.
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

// next returns how long to wait after err, or that there is no further attempt.
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
		// A product that is too large for a Duration would become negative.
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

// maxRetryAfter caps what a server may ask for: a wrong clock or a misplaced
// zero must not silence a client for a year.
const maxRetryAfter = 10 * time.Minute

// retryAfter reads the header of a 429 or 503: seconds or an HTTP date. Anything
// else is zero.
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
