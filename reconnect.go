package wechatws

import (
	"crypto/tls"
	"crypto/x509"
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

// A Tier is one stage of a reconnect schedule: so many attempts, each after the
// same delay.
type Tier struct {
	Delay    time.Duration
	Attempts int // 0 means for ever, which only the last tier may
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

// newTiers makes a schedule. Without a tier for ever at its end, it ends in
// backoff.Stop.
func newTiers(tiers ...Tier) (*tierSchedule, error) {
	wrong := func(i int, want string) error {
		return &OptionError{Option: "Tiers", Value: fmt.Sprintf("tier %d: %v × %d", i+1, tiers[i].Delay, tiers[i].Attempts), Want: want}
	}
	if len(tiers) == 0 {
		return nil, &OptionError{Option: "Tiers", Value: "none", Want: "give at least one tier, or WithoutReconnect"}
	}
	for i, t := range tiers {
		switch {
		case t.Delay < 0:
			return nil, wrong(i, "the delay must not be negative")
		case t.Attempts < 0:
			return nil, wrong(i, "the attempts must not be negative")
		case t.Attempts == 0 && i < len(tiers)-1:
			return nil, wrong(i, "only the last tier may go on for ever (0 attempts)")
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

// A Failure is what IsFinal judges: an attempt that failed, or a connection
// that ended and was not closed by Close.
type Failure struct {
	// Err is a *DialError, perhaps around a *HandshakeError or a *ProxyError, or a
	// *CloseError.
	Err error
	// Opened tells that the client has been open since Connect.
	Opened bool
	// Repeats counts how often the same HTTP status, of the server or of a proxy,
	// or the same close code has come in a row, this time included, with no stable connection in between.
	Repeats int
	// Persistent reports that Repeats is three or more, and that the first of them is
	// as long ago as WithPermanentAfter says, 15 minutes by default.
	Persistent bool
	// FreshEndpoint tells that an endpoint function will be asked again before
	// the next attempt, and may bring fresh credentials.
	FreshEndpoint bool
}

// patience is how often in a row a refusal must come to be believed: a policy close
// can be a rate limit. Once the client has been open, it must also have lasted, since
// tries follow each other within seconds: gateways answer 403 during a deploy, and a
// server may refuse a client until it has found out that the connection before is dead.
const patience = 3

// IsFinal is the default judgement of what is not worth another attempt.
//
// Before the first open, a wrong set-up is reported at once: the handshake's
// 400, 401, 403, 404, 405, 407, 410, 426 and 501, and TLS certificates that are wrong
// in anything but their dates: those that have expired or are not yet valid are retried,
// since certificates are renewed late and clocks are set late. With an endpoint function
// a first 401, 403 or 407 gets one more try. A close code listed below, which the peer may
// send while AfterConnect runs, is final the third time in a row. Time does not count: the
// caller of Connect waits for the verdict.
//
// Once the client has been open since Connect, staying connected comes first: 401,
// 403, 407 and 410, and the close codes 1002, 1003, 1007, 1008 and 1010 from the peer,
// are final when the same has come three times in a row and for 15 minutes
// (WithPermanentAfter), with no stable connection in between. With the default tiers that is
// 21 minutes after the first refusal, since the waits are longer by then. Everything
// else is retried, a 1000 or 1001 from the peer included.
//
// 407 is a proxy that wants other credentials, whether it refuses a tunnel (a
// *ProxyError) or answers in the server's place. Whatever else a proxy answers when
// asked for a tunnel is retried.
//
// An error marked with backoff.Permanent is always final, whatever this says.
func IsFinal(f Failure) bool {
	var status int
	if he := (*HandshakeError)(nil); errors.As(f.Err, &he) {
		status = he.Status
	}
	if pe := (*ProxyError)(nil); errors.As(f.Err, &pe) && pe.Status == http.StatusProxyAuthRequired {
		status = pe.Status
	}
	if !f.Opened {
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
			return !f.FreshEndpoint || f.Repeats > 1
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
			http.StatusGone, http.StatusUpgradeRequired, http.StatusNotImplemented:
			return true
		}
		if isCertificateError(f.Err) && !isOutOfDate(f.Err) {
			return true
		}
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusGone:
		return f.Persistent
	}
	if ce := (*CloseError)(nil); errors.As(f.Err, &ce) && ce.Remote {
		switch ce.Code {
		case StatusProtocolError, StatusUnsupportedData, StatusInvalidFramePayloadData,
			StatusPolicyViolation, StatusMandatoryExtension:
			return f.Persistent || !f.Opened && f.Repeats >= patience
		}
	}
	return false
}

func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &invalid)
}

// isOutOfDate reports whether a certificate has expired or is not yet valid.
func isOutOfDate(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// kind is what makes two failures the same: the HTTP status, below zero when it is a
// proxy's, or the close code. Zero is anything else.
func kind(err error) int {
	if he := (*HandshakeError)(nil); errors.As(err, &he) {
		return he.Status
	}
	if pe := (*ProxyError)(nil); errors.As(err, &pe) {
		return -pe.Status
	}
	if ce := (*CloseError)(nil); errors.As(err, &ce) && ce.Remote {
		return int(ce.Code)
	}
	return 0
}

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
			return nil, &OptionError{Option: "WithBackOff", Value: "nil", Want: "the function must return a backoff.BackOff"}
		}
		s.backoff.Reset()
	}
	return s, nil
}

// ended takes note of a connection that was open for so long.
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

// next tells how long to wait after err, or that err is final.
func (s *schedule) next(err error) (wait time.Duration, final bool) {
	if k := kind(err); k != s.kind || k == 0 {
		s.kind, s.repeats, s.since = k, 0, time.Now()
	}
	s.repeats++
	if p := (*backoff.PermanentError)(nil); s.backoff == nil || errors.As(err, &p) {
		return 0, true
	}
	f := Failure{Err: err, Opened: s.opened, Repeats: s.repeats, FreshEndpoint: !s.cfg.fixed}
	f.Persistent = s.repeats >= patience && time.Since(s.since) >= s.cfg.finalAfter
	if s.cfg.finalWhen(f) {
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
