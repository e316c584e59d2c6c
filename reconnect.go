package wechatws

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/record"
)

// A Tier is one stage of the reconnect schedule of [WithTiers]: a number of attempts, each
// after the same delay.
type Tier struct {
	Delay    time.Duration // 1 ms or longer; 0 is 1 ms, but not in a tier without end
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
		if s.backoff = cfg.newBackOff(); boundary.IsNil(s.backoff) {
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

// isOver records err, and reports whether no attempt follows it.
func (s *schedule) isOver(err error) bool {
	if k := kind(err); k != s.kind || k == 0 {
		s.kind, s.repeats, s.since = k, 0, time.Now()
	}
	s.repeats++
	if s.backoff == nil || isPermanent(err) {
		return true
	}
	f := Failure{Err: err, Opened: s.opened, Repeats: s.repeats, Endpoints: len(s.cfg.urls)}
	f.FreshEndpoint = !s.cfg.fixed && len(s.cfg.urls) == 0
	f.Persistent = s.repeats >= patience && time.Since(s.since) >= s.cfg.permanentAfter && !isOfMessage(err)
	return !s.cfg.retryIf(f)
}

// delay returns how long to wait after err, or over if the schedule has ended.
func (s *schedule) delay(err error) (wait time.Duration, over bool) {
	if s.backoff == nil {
		return 0, true
	}
	wait = s.backoff.NextBackOff()
	if wait == backoff.Stop {
		return 0, true
	}
	j := s.cfg.jitter
	wait = stretch(max(wait, 0), 1-j+2*j*rand.Float64())
	if he := (*HandshakeError)(nil); errors.As(err, &he) {
		if j == 0 {
			j = retryAfterSpread
		}
		wait = max(wait, stretch(he.RetryAfter, 1+j*rand.Float64()))
	}
	s.attempt++
	return max(wait, minDelay), false
}

// spread returns how much later than at once an attempt follows a change of the network, which all
// clients behind that network see at the same moment. The range is that of the first wait.
func (s *schedule) spread() time.Duration {
	first := maxSpread
	if t, ok := s.backoff.(*tierSchedule); ok {
		first = min(first, t.tiers[0].Delay)
	}
	return stretch(first, 2*s.cfg.jitter*rand.Float64())
}

// maxSpread is the longest first wait for spread: a long schedule must not delay the return of a
// client for minutes.
const maxSpread = 3 * time.Second

// stretch returns d × factor, or the longest Duration if that is longer: a product that
// overflows would be negative.
func stretch(d time.Duration, factor float64) time.Duration {
	if product := float64(d) * factor; product < math.MaxInt64 {
		return time.Duration(product)
	}
	return math.MaxInt64
}

// minDelay is the shortest wait, whatever a policy returns. Attempts without a pause would
// take a processor.
const minDelay = time.Millisecond

// retryAfterSpread is the jitter of waits that a server asks for, if there is no other: it
// has refused many clients at the same moment.
const retryAfterSpread = 0.1

// maxRetryAfter bounds the Retry-After of a server: a wrong clock or a misplaced zero must not
// stop a client for a year.
const maxRetryAfter = 10 * time.Minute

// retryAfter returns the Retry-After of a 429 or 503, which is in seconds or an HTTP date. It
// returns zero for all other responses and values. now is used if the response has no Date.
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
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			now = date // both are by the server's clock, which may be years from this one
		}
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// Permanent marks err as permanent: as an error that no further attempt can resolve, such as a
// revoked account. The client ends in [StateFailed] with it, instead of trying again, when it
// is returned by a function of [WithEndpoint], [WithLogin], [WithProxy], [WithNetDial] or
// [Client.AfterConnect], or by a [transport.Dialer], and when it is the cause given to
// [Client.Disconnect]. [Client.Fail] ends the client from anywhere else.
//
// The mark does not change the error's text. [errors.Is] and [errors.As] find err below it,
// and it may be wrapped. Permanent(nil) is nil. Errors marked by Permanent of
// github.com/cenkalti/backoff are recognized as well, in each major version from v4 on.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// isPermanent reports whether err, or an error below it, is marked as permanent. It ignores a
// method such as Permanent() bool: in an error of another library that may mean something
// else, and the client must not end because of it.
func isPermanent(err error) bool {
	return errors.As(err, new(*permanentError)) || isBackOffPermanent(err)
}

// isBackOffPermanent recognizes the mark of cenkalti/backoff by the name of its type. Each
// major version has a type of its own, which v6 does not export, and only v4 is a dependency.
func isBackOffPermanent(err error) bool {
	if err == nil {
		return false
	}
	if t := reflect.TypeOf(err); t.Kind() == reflect.Pointer {
		t = t.Elem()
		marked := t.Name() == "PermanentError" || t.Name() == "permanent"
		if marked && strings.HasPrefix(t.PkgPath(), "github.com/cenkalti/backoff/") {
			return true
		}
	}
	switch e := err.(type) {
	case interface{ hidden() error }:
		return isBackOffPermanent(e.hidden())
	case interface{ Unwrap() error }:
		return isBackOffPermanent(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), isBackOffPermanent)
	}
	return false
}

// A Failure is an attempt that has failed, or a connection that ended without
// [Client.Close]. It is the argument of [DefaultRetryIf] and of the function of [WithRetryIf],
// and has no unexported fields, so that a test of such a function can make one.
type Failure struct {
	// Err is a *[DialError], perhaps around a *[HandshakeError] or a *[ProxyError], or a
	// *[CloseError].
	Err error `json:"err,omitzero"`
	// Opened reports whether the client has been open since Connect or Run.
	Opened bool `json:"opened"`
	// Repeats is how many times in a row the same refusal has come, including this one: the
	// same HTTP status from the server, the same from a proxy, the same close code from the
	// peer, or a TLS configuration error. A failure of another kind, and a stable connection
	// ([WithStableAfter]), end the row. It is 1 for failures that are none of these.
	Repeats int `json:"repeats"`
	// Persistent reports whether Repeats is three or more and the first of them was at
	// least 15 minutes ago, or the duration of [WithPermanentAfter]. It is false if the peer may
	// have refused a message, and not the client: see [ErrRefused].
	Persistent bool `json:"persistent"`
	// FreshEndpoint reports whether there is a function of [WithEndpoint], which may return
	// other credentials for the next attempt.
	FreshEndpoint bool `json:"fresh_endpoint"`
	// Endpoints is the number of URLs of [WithEndpoints]; zero without this option.
	Endpoints int `json:"endpoints,omitzero"`
}

// CloseCode returns the code with which the peer has closed the connection, also during its setup; 0:
// the failure is another one. It is for protocols with codes that mean "do not come back".
func (f Failure) CloseCode() StatusCode {
	if ce := (*CloseError)(nil); errors.As(f.Err, &ce) && ce.Remote && ce.Code != StatusAbnormalClosure {
		return ce.Code
	}
	return 0
}

// LogValue implements [slog.LogValuer].
func (f Failure) LogValue() slog.Value { return record.Log(f) }

// MarshalJSON implements [json.Marshaler].
func (f Failure) MarshalJSON() ([]byte, error) { return record.JSON(f) }

// patience is how many times in a row a refusal must come to be permanent: a policy close can
// be a rate limit. Once the client has been open, the refusal must also have lasted, since
// attempts follow each other within seconds: gateways answer 403 during a deploy, and a server
// may refuse a client until it has detected that the previous connection is dead.
const patience = 3

// DefaultRetryIf is the default of [WithRetryIf]. It reports whether f is temporary, so that
// another attempt follows.
//
// Before the first open, configuration errors are permanent at once: the statuses 400, 401,
// 403, 404, 405, 407, 410, 426 and 501, a server without TLS at a wss URL or with TLS at a ws URL
// ([http.ErrSchemeMismatch]), and invalid TLS certificates. Certificates that have expired or
// are not yet valid are retried, since certificates are renewed late and clocks are set late.
// With [WithEndpoints] such an error is permanent when each server has returned it, one after
// the other. With a function of [WithEndpoint] a first 401, 403 or 407 is retried once. The
// close codes listed below, which the peer may send while [Client.AfterConnect] functions run,
// are permanent the third time in a row. Time does not count, since the caller of
// [Client.Connect] waits for the result.
//
// Once the client has been open since Connect, the statuses 401, 403, 407 and 410, and the
// close codes 1002, 1003, 1007, 1008 and 1010 from the peer, and 1009 if it is about the login,
// an AfterConnect function or a heartbeat ([CloseError.Err]), are permanent if they are
// [Failure.Persistent]: the same refusal has come three times in a row and for 15 minutes
// ([WithPermanentAfter]), with no stable connection in between. With the default tiers the
// client ends 21 minutes after the first refusal, since the waits are longer by then. Refusals
// that alternate, such as 401 and 403, are temporary.
//
// Everything else is temporary, including a close with 1000 or 1001 from the peer. A 407 is a
// *[ProxyError], of a proxy that requires other credentials; every other refusal of a proxy is
// temporary.
//
// An error marked with [Permanent] is always permanent, also with a function of
// [WithRetryIf].
func DefaultRetryIf(f Failure) bool {
	if isPermanent(f.Err) {
		return false
	}
	var status int
	if he := (*HandshakeError)(nil); errors.As(f.Err, &he) {
		status = he.Status
	}
	if pe := (*ProxyError)(nil); errors.As(f.Err, &pe) && pe.Status == http.StatusProxyAuthRequired {
		status = pe.Status
	}
	if !f.Opened && f.Repeats >= f.Endpoints { // each server has refused
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
			return f.FreshEndpoint && f.Repeats <= 1
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
			http.StatusGone, http.StatusUpgradeRequired, http.StatusNotImplemented:
			return false
		}
		if isWrongTLS(f.Err) {
			return false
		}
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusGone:
		return !f.Persistent
	}
	if ce := (*CloseError)(nil); errors.As(f.Err, &ce) && ce.Remote && isRefusal(ce) {
		return !f.Persistent && (f.Opened || f.Repeats < patience)
	}
	return true
}

// isRefusal reports whether the peer has refused the client, or what it sends on every connection.
func isRefusal(ce *CloseError) bool {
	switch ce.Code {
	case StatusProtocolError, StatusUnsupportedData, StatusInvalidFramePayloadData,
		StatusPolicyViolation, 1010: // mandatory extension
		return true
	case StatusMessageTooBig:
		return ce.Err != nil // otherwise a message of the queue was too big
	}
	return false
}

// isOfMessage reports whether the peer has refused a message, and perhaps not the client.
func isOfMessage(err error) bool {
	ce := (*CloseError)(nil)
	return errors.As(err, &ce) && ce.tried
}

// isWrongTLS reports whether err is due to a certificate that time does not make valid, or to a
// server that uses TLS where the URL does not, or the other way round.
func isWrongTLS(err error) bool {
	return isCertificateError(err) && !isOutOfDate(err) || errors.Is(err, http.ErrSchemeMismatch)
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

// kindTLS is the kind of an isWrongTLS error. It is neither a status nor a close code.
const kindTLS = 1

// kind returns what two failures must have in common to be the same refusal: the HTTP status,
// negative for a proxy's, the peer's close code, or kindTLS. It returns zero for all other
// failures.
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
	if isWrongTLS(err) {
		return kindTLS
	}
	return 0
}

// Reconnect makes the next attempt at once, also without a network: it ends the open
// connection, the wait, or the attempt under way. Called between the end of a connection or
// an attempt and the wait that follows, as in [Client.OnClose], [Client.OnError], a function
// of [WithTrace] or of [WithRetryIf], it replaces that wait. A permanent failure ends the
// client all the same. Reconnect does not wait for the callbacks of the connection before, so that
// it may be called in one of them, see [WithRetryIf]. A program that calls Reconnect after each failure disables the
// schedule: attempts follow each other without a pause.
//
// Reconnect does not block, and may be called from any goroutine. It returns [ErrNotOpen]
// before the first [Client.Connect], and [ErrClosed] after [Client.Shutdown], [Client.Close]
// or a permanent failure.
func (c *Client) Reconnect() error {
	c.mu.Lock()
	s := c.session
	if s == nil || s.hasRetired() {
		idle := c.history.state == StateIdle
		c.mu.Unlock()
		if idle {
			return ErrNotOpen
		}
		return ErrClosed
	}
	c.forced = true
	s.tryNow(true)
	c.verdict.end()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.fail(&CloseError{Code: StatusAbnormalClosure, Err: ErrReconnect, requested: true})
	}
	return nil
}
