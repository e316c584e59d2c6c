package wechatws

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws/internal/fence"
	"github.com/wechatws/wechatws/internal/printable"
	"github.com/wechatws/wechatws/transport"
)

// config is what the options make. It does not change after New.
type config struct {
	// Connect.
	endpoint     func(ctx context.Context, attempt int, last error) (Endpoint, error)
	urls         []string // of WithEndpoints
	host         string   // of that URL, or of the first one of WithEndpoints
	header       http.Header
	subprotocols []string
	jar          http.CookieJar
	tls          *tls.Config
	proxy        func(*http.Request) (*url.URL, error)
	netDial      func(ctx context.Context, network, addr string) (net.Conn, error) // nil: addressChoice.dial
	fence        func() error
	discarded    func(Message)    // see [fence.Discarded]; nil: none
	dialer       transport.Dialer // nil: package ws
	dialTimeout  time.Duration
	readLimit    int64

	// Session.
	login        func(context.Context) (any, error)
	loginMessage any    // of WithLoginMessage
	pulse        *pulse // complete after check
	liveness     Liveness
	reply        func(Message) (any, error)
	key          func(Message) string // nil: there is one lane
	parallel     int
	typeField    string   // of the default heartbeat too; empty with WithTypePath and WithTypeFunc
	typePath     []string // of typeField, or of WithTypePath
	typeFunc     func(Message) string
	unpack       func(connection int) func(Message) ([]Message, error)
	requestID    []string // the path to it
	codec        Codec

	// Reconnect.
	newBackOff     func() backoff.BackOff // nil: no reconnect
	jitter         float64
	stableAfter    time.Duration
	retryIf        func(Failure) bool
	permanentAfter time.Duration // of the same refusal
	network        NetworkMonitor

	// Queue.
	queueMessages int
	queueBytes    int
	whenFull      QueuePolicy
	drainTimeout  time.Duration

	// Observe.
	trace  *tracers
	logger *slog.Logger

	// Those that are only on or off are together, since each alone takes eight bytes of a client.
	fixed        bool // endpoint is the URL given to New
	crossHost    bool // follow redirects to other hosts
	strict       bool // about large messages and invalid text
	compression  bool
	ownHeartbeat bool // of WithHeartbeat
	neverReset   bool // a stable connection does not restart the schedule, as in the original
	serverText   bool // in errors and the log

	wallClock func() time.Time // without a monotonic reading

	mistakes []mistake // in the order of the options
}

// A mistake is the error about one thing that an option sets.
type mistake struct {
	thing string
	err   error
}

// untraced is shared by the clients without a trace.
var untraced tracers

func defaultConfig() config {
	return config{
		proxy:          http.ProxyFromEnvironment,
		dialTimeout:    10 * time.Second,
		readLimit:      1 << 20,
		pulse:          &pulse{Heartbeat: defaultHeartbeat},
		liveness:       defaultLiveness,
		typeField:      "msg_type",
		typePath:       []string{"msg_type"},
		requestID:      []string{"id"},
		codec:          jsonCodec{},
		newBackOff:     func() backoff.BackOff { return &tierSchedule{tiers: defaultTiers()} },
		stableAfter:    5 * time.Second,
		retryIf:        DefaultRetryIf,
		permanentAfter: 15 * time.Minute,
		queueMessages:  1024,
		queueBytes:     4 << 20,
		drainTimeout:   time.Second,
		trace:          &untraced,
		wallClock:      func() time.Time { return time.Now().Round(0) },
	}
}

// setting makes an option from apply. thing is the name of the option, or of the one that it
// replaces: the error that apply returns replaces that of an earlier option for the same
// thing.
func setting(thing string, apply func(*config) error) Option {
	return func(c *config) {
		c.mistakes = slices.DeleteFunc(c.mistakes, func(m mistake) bool { return m.thing == thing })
		if err := apply(c); err != nil {
			c.mistakes = append(c.mistakes, mistake{thing, err})
		}
	}
}

// wrong makes the error about an option's value.
func wrong(option string, value any, want string) error {
	return &OptionError{Option: option, Value: fmt.Sprint(value), Want: want}
}

// needContext returns an error when ctx is nil.
func needContext(ctx context.Context, verb string) error {
	if ctx == nil {
		return wrong(verb, "nil", "the context must not be nil")
	}
	return nil
}

// positive checks a duration that must be above zero.
func positive(option string, d time.Duration) error {
	if d <= 0 {
		return wrong(option, d, "must be longer than zero")
	}
	return notNegative(option, d)
}

// notNegative checks a duration that may be zero.
func notNegative(option string, d time.Duration) error {
	switch {
	case d < 0:
		return wrong(option, d, "must be zero or longer")
	case lacksUnit(d):
		return wrong(option, d, needsUnit)
	}
	return nil
}

// needsUnit says what is wrong with a duration that lacks its unit, such as 10 for 10 s.
const needsUnit = "must be at least 1ms; a number without a unit is nanoseconds"

// lacksUnit reports whether d is so short that its unit has surely been forgotten.
func lacksUnit(d time.Duration) bool { return d > 0 && d < time.Millisecond }

// check completes the configuration, and returns all errors in it, joined.
func (c *config) check(rawURL string) error {
	var errs []error
	for _, m := range c.mistakes {
		errs = append(errs, m.err)
	}
	switch {
	case slices.ContainsFunc(c.mistakes, func(m mistake) bool { return m.thing == "WithEndpoint" }):
	case len(c.urls) > 0 && rawURL != "":
		errs = append(errs, wrong("WithEndpoints", "urls", "give New an empty url with this option"))
	case len(c.urls) > 0:
		c.endpoint = newPool(c.urls).next
		u, _ := parseURL(c.urls[0]) // it has been checked
		c.host = u.Host
	case c.endpoint != nil && rawURL != "":
		errs = append(errs, wrong("WithEndpoint", "func", "give New an empty url when the endpoint comes from a function"))
	case c.endpoint == nil && rawURL == "":
		errs = append(errs, wrong("url", `""`, "give a URL, WithEndpoint or WithEndpoints"))
	case c.endpoint == nil:
		u, err := parseURL(rawURL)
		if err != nil {
			errs = append(errs, err)
		} else {
			ep := Endpoint{URL: u.String()}
			c.endpoint = func(context.Context, int, error) (Endpoint, error) { return ep, nil }
			c.fixed, c.host = true, u.Host
		}
	}
	if c.loginMessage != nil {
		var m Outbound
		err := users.Protect(func() (err error) { m, err = encode(c.codec, c.loginMessage); return err })
		c.login = func(context.Context) (any, error) { return m, nil }
		if err != nil {
			errs = append(errs, wrong("WithLoginMessage", fmt.Sprintf("%T", c.loginMessage), "must be a message that can be sent: "+because(err)))
		}
	}
	if c.typeField == "" && !c.ownHeartbeat {
		c.pulse.Heartbeat = Heartbeat{} // the default one needs the field
	}
	h, l := c.pulse.Heartbeat, c.liveness
	var err error
	if c.pulse, err = c.newPulse("WithHeartbeat", h); err != nil {
		errs = append(errs, err)
	}
	if l.Timeout > 0 && h.Pong == nil && l.Interval >= l.Timeout {
		errs = append(errs, wrong("WithLiveness", fmt.Sprintf("interval %v, timeout %v", l.Interval, l.Timeout), "the timeout must be longer than the interval"))
	}
	return errors.Join(errs...)
}

// An Endpoint is what the function of [WithEndpoint] returns for an attempt. Printed and in a log
// it shows the URL's scheme and host only.
type Endpoint struct {
	URL    string      // ws or wss; http and https are taken as those
	Header http.Header // added to the header of WithHeader, of which it replaces the same names; may be nil
	// TLS replaces the configuration of [WithTLSConfig], under the same conditions: for roots
	// and client certificates that change. nil: it is not replaced.
	TLS *tls.Config
}

// checkTLS returns an error if a TLS configuration must not be used.
func checkTLS(option string, t *tls.Config) error {
	for _, version := range [...]uint16{t.MinVersion, t.MaxVersion} {
		if version != 0 && version < tls.VersionTLS12 {
			return wrong(option, tls.VersionName(version), "versions below TLS 1.2 are not allowed")
		}
	}
	return nil
}

// cloneTLS returns a copy of a TLS configuration whose callbacks return panics as errors.
func cloneTLS(t *tls.Config) *tls.Config {
	t = t.Clone()
	users.TLS(t)
	return t
}

// parseURL reads a WebSocket URL. Its errors show at most scheme and host.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // its text holds the whole URL
			err = ue.Err
		}
		why, _, _ := strings.Cut(err.Error(), `"`) // it quotes a part of the URL, perhaps a password
		return nil, wrong("url", printable.NotShown, "cannot be parsed: "+strings.TrimRight(why, " ("))
	}
	shown := printable.Quote(shownURL(u))
	if shown == `""` && raw != "" {
		shown = printable.NotShown
	}
	u = asWebSocket(u)
	if u.Scheme != "ws" && u.Scheme != "wss" {
		return nil, wrong("url", shown, "scheme must be ws or wss (http and https are taken as those)")
	}
	switch port, err := strconv.Atoi(u.Port()); {
	case u.Hostname() == "":
		return nil, wrong("url", shown, "host is missing")
	case !isHost(u):
		return nil, wrong("url", shown, "host must be a name or an IP address, one of IPv6 in brackets")
	case u.Port() != "" && (err != nil || port < 1 || port > 65535):
		return nil, wrong("url", shown, "port must be from 1 to 65535")
	case u.Fragment != "":
		return nil, wrong("url", shown, "a WebSocket URL has no fragment (#…)")
	}
	u.RawQuery = escapeQuery(u.RawQuery)
	return u, nil
}

// asWebSocket returns u with a scheme of WebSocket instead of HTTP.
func asWebSocket(u *url.URL) *url.URL {
	scheme := map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	changed := *u
	changed.Scheme = cmp.Or(scheme, u.Scheme)
	return &changed
}

// escapeQuery escapes what must not be sent in a query, as browsers do: spaces, quotes, angle
// brackets and non-ASCII characters. Package net/url does so for the path only.
func escapeQuery(query string) string {
	var b strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// isHost reports whether the URL's host is an IP address or may be a name. The labels of a
// name consist of letters, digits, hyphens and underscores, which the resolver of package net
// accepts, and of non-ASCII characters, which net/http encodes.
func isHost(u *url.URL) bool {
	if strings.HasPrefix(u.Host, "[") {
		_, err := netip.ParseAddr(u.Hostname())
		return err == nil
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(u.Hostname(), "."), ".") {
		if label == "" || !utf8.ValidString(label) || strings.ContainsFunc(label, func(r rune) bool {
			letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r >= utf8.RuneSelf
			return !letter && !('0' <= r && r <= '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

// mergedHeader returns the header of one attempt, with canonical names. A name in a later
// header replaces the same name in an earlier one.
func (c *config) mergedHeader(own ...http.Header) http.Header {
	merged := http.Header{}
	for _, h := range append([]http.Header{c.header}, own...) {
		for _, name := range slices.Sorted(maps.Keys(h)) { // a trace may have written one name in two ways
			merged[http.CanonicalHeaderKey(name)] = slices.Clone(h[name])
		}
	}
	return merged
}

// checkHeader returns the errors in a header given to option. They do not show values, which
// hold tokens and cookies.
func checkHeader(option string, h http.Header) error {
	var errs []error
	seen := map[string]string{} // by the canonical name
	for _, name := range slices.Sorted(maps.Keys(h)) {
		want := ""
		switch canonical := http.CanonicalHeaderKey(name); {
		case !isToken(name): // shown up to the first bad character: after a colon there is a value
			good := strings.IndexFunc(name, notToken)
			name, want = printable.Quote(name[:max(good, 0)]+"…"), "the name of a header must be an HTTP token such as \"X-Room\""
		case canonical == "Sec-Websocket-Protocol":
			want = "use WithSubprotocols"
		case canonical == "Host" && !isHostHeader(h[name]):
			want = "must be one host, with a port if it is not the standard one"
		case isHandshake(canonical):
			want = "this header belongs to the handshake"
		case slices.ContainsFunc(h[name], hasControl):
			want = "a value must be one line without control characters"
		case seen[canonical] != "":
			want = seen[canonical] + " is the same name, give it once"
		default:
			seen[canonical] = name
			continue
		}
		errs = append(errs, wrong(option, name, want))
	}
	return errors.Join(errs...)
}

// isHostHeader reports whether values are one host, perhaps with a port.
func isHostHeader(values []string) bool {
	if len(values) != 1 {
		return false
	}
	u, err := parseURL("ws://" + values[0])
	return err == nil && *u == url.URL{Scheme: "ws", Host: u.Host}
}

// isHandshake reports whether the handshake itself sets a header.
func isHandshake(canonical string) bool {
	switch canonical {
	case "Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Trailer":
		return true
	}
	return strings.HasPrefix(canonical, "Sec-Websocket-")
}

// hasControl reports whether a header's value has characters that net/http refuses to send.
func hasControl(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// isToken reports whether s is an HTTP token, as names of headers and subprotocols are.
func isToken(s string) bool { return s != "" && !strings.ContainsFunc(s, notToken) }

func notToken(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
}

// String returns the URL's scheme and host.
func (e Endpoint) String() string {
	u, err := parseURL(e.URL)
	if err != nil {
		return printable.NotShown
	}
	return shownURL(u)
}

// Format implements [fmt.Formatter], with what String returns for all verbs.
func (e Endpoint) Format(s fmt.State, verb rune) {
	printable.Format(s, verb, "wechatws.Endpoint", e.String())
}

// LogValue implements [slog.LogValuer], with what String returns.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }

// shownURL returns the scheme and the host of a URL. Queries, user info and paths may hold
// tokens.
func shownURL(u *url.URL) string {
	return printable.Text((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
}

// fenced is the option that [fence.New] returns.
func fenced(allow func() error) Option { return func(c *config) { c.fence = allow } }

// discarded is the option that [fence.Discarded] returns.
func discarded(fn func(Message)) Option { return func(c *config) { c.discarded = fn } }

func init() {
	fence.New = func(allow func() error) any { return fenced(allow) }
	fence.Discarded = func(fn any) any { return discarded(fn.(func(Message))) }
	fence.IsPermanent = isPermanent
}
