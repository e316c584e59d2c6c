package wechatws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws/internal/fence"
	"github.com/wechatws/wechatws/internal/printable"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
)

// An Option sets one thing about a Client. Options are plain values and may be
// shared by any number of clients. A later option overrides an earlier one of
// the same name.
type Option func(*config)

// config is what the options make. It does not change after New.
type config struct {
	endpoint     func(ctx context.Context, attempt int, last error) (Endpoint, error)
	fixed        bool   // endpoint is the URL given to New
	host         string // of that URL
	header       http.Header
	subprotocols []string
	tls          *tls.Config
	proxy        func(*http.Request) (*url.URL, error)
	netDial      func(ctx context.Context, network, addr string) (net.Conn, error) // nil: addressChoice.dial
	fence        func() error
	dialer       transport.Dialer
	dialTimeout  time.Duration
	readLimit    int64
	compression  bool
	everyFrame   bool // the library sees it

	login     func(context.Context) (any, error)
	heartbeat Heartbeat
	liveness  Liveness

	newBackOff  func() backoff.BackOff // nil: no reconnect
	jitter      float64
	stableAfter time.Duration
	neverReset  bool // the original's counting
	finalWhen   func(Failure) bool
	finalAfter  time.Duration // of the same refusal
	network     NetworkMonitor

	typeField string
	codec     Codec

	trace  *Trace // shared by all that have none
	logger *slog.Logger

	queueMessages int
	queueBytes    int
	whenFull      QueuePolicy
	drainTimeout  time.Duration

	beat      *Outbound        // the encoded heartbeat message
	wallClock func() time.Time // without a monotonic reading

	errs []error
}

// untraced is shared by the clients that were given no trace.
var untraced Trace

func defaultConfig() config {
	return config{
		proxy:         http.ProxyFromEnvironment,
		dialer:        coder.Dialer{},
		dialTimeout:   10 * time.Second,
		readLimit:     1 << 20,
		heartbeat:     Heartbeat{Interval: 3 * time.Second},
		liveness:      Liveness{Interval: 3 * time.Second, Timeout: 10 * time.Second},
		newBackOff:    func() backoff.BackOff { return &tierSchedule{tiers: defaultTiers()} },
		stableAfter:   5 * time.Second,
		finalWhen:     IsFinal,
		finalAfter:    15 * time.Minute,
		typeField:     "msg_type",
		codec:         jsonCodec{},
		trace:         &untraced,
		queueMessages: 1024,
		queueBytes:    4 << 20,
		drainTimeout:  time.Second,
		wallClock:     func() time.Time { return time.Now().Round(0) },
	}
}

func (c *config) wrong(option string, value any, want string) {
	c.errs = append(c.errs, &OptionError{Option: option, Value: fmt.Sprint(value), Want: want})
}

// check completes the configuration and reports everything that is wrong.
func (c *config) check(rawURL string) error {
	switch {
	case c.endpoint != nil && rawURL != "":
		c.wrong("WithEndpoint", "func", "give New an empty url when the endpoint comes from a function")
	case c.endpoint == nil:
		u, err := parseURL(rawURL)
		if err != nil {
			c.errs = append(c.errs, err)
		} else {
			ep := Endpoint{URL: u.String()}
			c.endpoint = func(context.Context, int, error) (Endpoint, error) { return ep, nil }
			c.fixed, c.host = true, u.Host
		}
	}
	h, l := c.heartbeat, c.liveness
	if h.Interval > 0 && h.Message == nil {
		h.Message = map[string]string{c.typeField: "ping"}
	}
	if h.Interval > 0 && h.NewMessage == nil {
		err := protect(func() (err error) { c.beat, err = heartbeatMessage(c.codec, h.Message); return err })
		if err != nil {
			c.wrong("WithHeartbeat", fmt.Sprintf("%T", h.Message), trimPrefix(err))
		}
	}
	if l.Timeout > 0 && h.Pong == nil && l.Interval >= l.Timeout {
		c.wrong("WithLiveness", fmt.Sprintf("interval %v, timeout %v", l.Interval, l.Timeout), "the timeout must be longer than the interval")
	}
	if l.Timeout > 0 && h.Pong != nil && h.Interval >= l.Timeout {
		c.wrong("WithHeartbeat", fmt.Sprintf("interval %v", h.Interval), fmt.Sprintf("with Pong the interval must be shorter than the liveness timeout (%v)", l.Timeout))
	}
	return errors.Join(c.errs...)
}

// Endpoint is where to connect, and with which header. Printed and in a log it shows the
// URL's scheme and host only.
type Endpoint struct {
	URL    string      // ws or wss; http and https are taken as those
	Header http.Header // added to the header of WithHeader; may be nil
}

// parseURL reads a WebSocket URL. Its errors show at most scheme and host.
func parseURL(raw string) (*url.URL, error) {
	wrong := func(value, want string) error { return &OptionError{Option: "url", Value: value, Want: want} }
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // its text holds the whole URL
			err = ue.Err
		}
		why, _, _ := strings.Cut(err.Error(), `"`) // quoted is a part of the URL, perhaps of a password
		return nil, wrong(printable.NotShown, "cannot be parsed: "+strings.TrimRight(why, " ("))
	}
	shown := printable.Quote(shownURL(u))
	if shown == `""` && raw != "" {
		shown = printable.NotShown
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return nil, wrong(shown, "scheme must be ws or wss (http and https are taken as those)")
	}
	if u.Hostname() == "" {
		return nil, wrong(shown, "host is missing")
	}
	if u.Fragment != "" {
		return nil, wrong(shown, "a WebSocket URL has no fragment (#…)")
	}
	return u, nil
}

// WithEndpoint calls fn before every attempt to learn where to connect: with the number of
// the attempt, and the error of the attempt or connection before, or nil. It is for
// tokens that expire and for hosts that change; the url given to New must be
// empty then. fn may block until its context ends, which is when the client is
// closed or the dial timeout is over. An error from it is a failed attempt, and
// a final one when it is marked with backoff.Permanent.
func WithEndpoint(fn func(ctx context.Context, attempt int, last error) (Endpoint, error)) Option {
	return func(c *config) {
		if fn == nil {
			c.wrong("WithEndpoint", "nil", "must be a function")
			fn = func(context.Context, int, error) (Endpoint, error) { return Endpoint{}, nil }
		}
		c.endpoint = fn
	}
}

// WithHeader sends h with every handshake: cookies, tokens, an Origin. The names that
// make up the handshake itself are refused.
func WithHeader(h http.Header) Option {
	return func(c *config) {
		for name := range h {
			switch n := http.CanonicalHeaderKey(name); {
			case n == "Sec-Websocket-Protocol":
				c.wrong("WithHeader", name, "use WithSubprotocols")
			case n == "Connection", n == "Upgrade", strings.HasPrefix(n, "Sec-Websocket-"):
				c.wrong("WithHeader", name, "this header belongs to the handshake")
			}
		}
		c.header = h.Clone()
	}
}

// WithSubprotocols offers these subprotocols, the preferred one first.
// OpenEvent tells which one the server chose.
func WithSubprotocols(names ...string) Option {
	return func(c *config) {
		for i, n := range names {
			if n == "" || strings.ContainsFunc(n, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) }) {
				c.wrong("WithSubprotocols", fmt.Sprintf("name %d of %d", i+1, len(names)), "must be an HTTP token such as \"chat.v1\"")
			}
		}
		c.subprotocols = slices.Clone(names)
	}
}

// WithTLSConfig uses this configuration for wss. It is cloned. TLS 1.2 is the
// oldest version allowed.
func WithTLSConfig(t *tls.Config) Option {
	return func(c *config) {
		if t == nil {
			c.wrong("WithTLSConfig", "nil", "must be a configuration")
			return
		}
		for _, version := range [...]uint16{t.MinVersion, t.MaxVersion} {
			if version != 0 && version < tls.VersionTLS12 {
				c.wrong("WithTLSConfig", tls.VersionName(version), "versions below TLS 1.2 are not allowed")
			}
		}
		c.tls = t.Clone()
		protectTLS(c.tls)
	}
}

// WithProxy chooses the proxy for each handshake, in the manner of
// http.Transport.Proxy; nil means none. The default is
// http.ProxyFromEnvironment.
func WithProxy(fn func(*http.Request) (*url.URL, error)) Option {
	return func(c *config) { c.proxy = fn }
}

// WithNetDial makes the network connections below TLS and HTTP, for choosing an
// interface, setting socket options, or a network in memory. The default is a
// zero net.Dialer, whose connections have TCP_NODELAY set; for 10 minutes, an address
// of a name that has failed is tried after the others.
//
// fn runs on a goroutine of its own and must return when its context ends. The
// context has the deadline of the dial timeout, which net.Dialer shares out among the
// addresses of a name. The order of the addresses is fn's.
func WithNetDial(fn func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(c *config) {
		if fn == nil {
			c.wrong("WithNetDial", "nil", "must be a function")
			return
		}
		c.netDial = fn
	}
}

// fenced makes the option that [fence.New] documents.
func fenced(allow func() error) Option { return func(c *config) { c.fence = allow } }

func init() { fence.New = func(allow func() error) any { return fenced(allow) } }

// WithDialer sets the WebSocket library under the client. The default is
// CoderDialer; nhooyr.Dialer in transport/nhooyr is another one. A Dialer may wrap the
// Conn of one of these, which then reads and writes every message.
func WithDialer(d transport.Dialer) Option {
	return func(c *config) {
		if d == nil {
			c.wrong("WithDialer", "nil", "must be a Dialer")
			return
		}
		c.dialer = d
	}
}

// positive checks a duration that must be above zero.
func (c *config) positive(option string, d time.Duration) time.Duration {
	if d <= 0 {
		c.wrong(option, d, "must be longer than zero")
	}
	return d
}

// WithDialTimeout bounds an attempt from DNS to the server's answer; the
// endpoint function before it and the login message after it have as long
// again, each. The default is 10 s.
func WithDialTimeout(d time.Duration) Option {
	return func(c *config) { c.dialTimeout = c.positive("WithDialTimeout", d) }
}

// WithReadLimit sets the largest message that is accepted, in bytes after
// decompression. A larger one ends the connection with a *ReadLimitError, and a
// reconnect follows. The default is 1 MiB; math.MaxInt64 is no limit.
func WithReadLimit(bytes int64) Option {
	return func(c *config) {
		if bytes <= 0 {
			c.wrong("WithReadLimit", bytes, "must be above zero")
		}
		c.readLimit = bytes
	}
}

// WithCompression offers permessage-deflate, without context takeover. It is
// off by default: it costs memory and time for messages as small as these. With a
// server that does it wrongly the client drops one connection with ErrCompression
// and offers none from then on.
func WithCompression() Option { return func(c *config) { c.compression = true } }

// WithLogin sends what fn returns as the first message of every connection; nothing
// overtakes it. It may be anything that [Client.Send] takes. fn may block until its context
// ends (the dial timeout); returning nil and no error sends nothing. An error,
// or a write that fails, is a failed attempt, and a final one when it is marked
// with backoff.Permanent. There is no login by default.
//
// It mirrors the message that the original sends in _onSocketOpened.
func WithLogin(fn func(ctx context.Context) (any, error)) Option {
	return func(c *config) {
		if fn == nil {
			c.wrong("WithLogin", "nil", "must be a function")
			return
		}
		c.login = fn
	}
}

// WithLoginMessage is WithLogin for a message that is always the same.
func WithLoginMessage(v any) Option {
	return WithLogin(func(context.Context) (any, error) { return v, nil })
}

// WithHeartbeat sets the application's heartbeat. Zero fields keep their
// defaults. It mirrors the original's _start.
func WithHeartbeat(h Heartbeat) Option {
	return func(c *config) {
		switch {
		case h.Interval < 0:
			c.wrong("WithHeartbeat", h.Interval, "the interval must be longer than zero; WithoutHeartbeat switches it off")
		case h.Interval == 0:
			h.Interval = 3 * time.Second
		}
		if h.Message != nil && h.NewMessage != nil {
			c.wrong("WithHeartbeat", "Message and NewMessage", "give one of the two")
		}
		c.heartbeat = h
	}
}

// WithoutHeartbeat sends no application heartbeat: heartCheck false in the
// original. Liveness goes on.
func WithoutHeartbeat() Option { return func(c *config) { c.heartbeat = Heartbeat{} } }

// WithLiveness sets how a half-open connection is found. Zero fields keep their
// defaults. The timeout must be longer than the interval in which the peer is asked: that
// of the pings, or with Heartbeat.Pong that of the heartbeats.
func WithLiveness(l Liveness) Option {
	return func(c *config) {
		if l.Interval < 0 || l.Timeout < 0 {
			c.wrong("WithLiveness", fmt.Sprintf("interval %v, timeout %v", l.Interval, l.Timeout), "must be longer than zero; WithoutLiveness switches it off")
		}
		if l.Interval == 0 {
			l.Interval = 3 * time.Second
		}
		if l.Timeout == 0 {
			l.Timeout = 10 * time.Second
		}
		c.liveness = l
	}
}

// WithoutLiveness sends no protocol pings and never judges the peer by its
// silence, like the original: a half-open connection then hangs until the
// kernel gives up, which with heartbeats takes about a quarter of an hour.
func WithoutLiveness() Option { return func(c *config) { c.liveness = Liveness{} } }

// WithTiers replaces the reconnect schedule of the original's tiers.
func WithTiers(tiers ...Tier) Option {
	return func(c *config) {
		t, err := newTiers(tiers...)
		if err != nil {
			c.errs = append(c.errs, err)
			return
		}
		c.newBackOff = func() backoff.BackOff { return &tierSchedule{tiers: t.tiers} }
	}
}

// WithBackOff makes the reconnect schedule from any policy of
// github.com/cenkalti/backoff/v4. fn is called once for every Connect and Run,
// since a policy has state and belongs to one client. A policy that returns
// backoff.Stop ends the client in StateFailed with the last error.
func WithBackOff(fn func() backoff.BackOff) Option {
	return func(c *config) {
		if fn == nil {
			c.wrong("WithBackOff", "nil", "must be a function that makes a backoff.BackOff")
			return
		}
		c.newBackOff = fn
	}
}

// WithJitter spreads each wait evenly over ± fraction of itself, so that many
// clients that lost the same server do not come back in the same moment. Use it
// (0.2 is good) whenever you run more than one client. The default is 0: the
// schedule is exact.
func WithJitter(fraction float64) Option {
	return func(c *config) {
		if !(fraction >= 0 && fraction <= 1) {
			c.wrong("WithJitter", fraction, "must be from 0 to 1")
		}
		c.jitter = fraction
	}
}

// WithoutReconnect ends the client in StateFailed at the first failure or drop:
// isReconnection false in the original.
func WithoutReconnect() Option { return func(c *config) { c.newBackOff = nil } }

// WithStableAfter sets how long a connection must have lasted for the attempt
// counter to start anew. The default is 5 s.
func WithStableAfter(d time.Duration) Option {
	return func(c *config) { c.stableAfter = c.positive("WithStableAfter", d) }
}

// WithFinalWhen replaces IsFinal, the function that tells final failures from
// passing ones. An error marked with backoff.Permanent is final before fn is
// asked. fn must not block; it is never called concurrently for one client.
func WithFinalWhen(fn func(Failure) bool) Option {
	return func(c *config) {
		if fn == nil {
			c.wrong("WithFinalWhen", "nil", "must be a function")
			return
		}
		c.finalWhen = fn
	}
}

// WithPermanentAfter sets how long a client that has been open tries again although the
// server answers nothing but the same refusal, such as a 403 or a close with 1008: 15
// minutes by default. The first try after that time that is refused too ends the
// client, so that it ends one wait of the schedule later at most. With 0 the number
// alone decides: the third refusal in a row. IsFinal says which refusals these are, and
// what holds before the first open; with a policy of WithFinalWhen it is
// Failure.Persistent that changes.
func WithPermanentAfter(d time.Duration) Option {
	return func(c *config) {
		if d < 0 {
			c.wrong("WithPermanentAfter", d, "must be zero or longer")
		}
		c.finalAfter = d
	}
}

// WithNetworkMonitor makes the client aware of the network: with none it does
// not dial and waits in StateOffline, and when it comes back it tries at once.
// SystemNetwork is the one for the machine's own network. There is none by
// default.
//
// Each change that the monitor reports cuts a wait short, and asks the peer of an open
// connection to prove itself within half the liveness timeout. An attempt under way is
// restarted only when the network comes or goes, or when the source address for the
// server that it dials has changed; otherwise it goes on, and if it fails, the next one
// follows at once.
//
// It mirrors wx.getNetworkType in initWebSocket, and onNetworkChange.
func WithNetworkMonitor(m NetworkMonitor) Option {
	return func(c *config) {
		if m == nil {
			c.wrong("WithNetworkMonitor", "nil", "must be a NetworkMonitor such as SystemNetwork()")
			return
		}
		c.network = m
	}
}

// WithTypeField sets the name of the field that messages are routed by, at the
// top level of each message. The default is "msg_type". Its value is a string, or a number
// or boolean, which is routed by its JSON text: On(client, "4", …) is called for "op":4.
func WithTypeField(name string) Option {
	return func(c *config) {
		if name == "" {
			c.wrong("WithTypeField", `""`, "must be the name of a field")
		}
		c.typeField = name
	}
}

// WithCodec sets how messages are encoded and decoded. The default encodes as
// encoding/json does and decodes what encoding/json decodes, [encoding/json.Number] included, at
// less than half its cost; docs/dependencies.md lists the differences.
func WithCodec(codec Codec) Option {
	return func(c *config) {
		if codec == nil {
			c.wrong("WithCodec", "nil", "must be a Codec")
			return
		}
		c.codec = codec
	}
}

// WithTrace has t told what the client does, at the moment it does it. Given several
// times, all are told, in that order.
func WithTrace(t Trace) Option {
	return func(c *config) {
		all := c.trace.with(t)
		c.trace = &all
	}
}

// WithQueue bounds the outbound queue, in messages and in bytes, and says what
// Send does when it is full. The default is 1024 messages, 4 MiB and QueueFail.
//
// With 0 messages nothing is queued: Send returns ErrNotOpen when there is no
// open connection, and otherwise returns when the message is written.
func WithQueue(messages, bytes int, whenFull QueuePolicy) Option {
	return func(c *config) {
		if messages < 0 {
			c.wrong("WithQueue", fmt.Sprintf("%d messages", messages), "must be 0 (no queue) or more")
		}
		if bytes <= 0 && messages > 0 {
			c.wrong("WithQueue", fmt.Sprintf("%d bytes", bytes), "must be above zero")
		}
		if whenFull < QueueFail || whenFull > QueueDropOldest {
			c.wrong("WithQueue", fmt.Sprintf("policy %d", int(whenFull)), "must be QueueFail, QueueWait or QueueDropOldest")
		}
		c.queueMessages, c.queueBytes, c.whenFull = messages, bytes, whenFull
	}
}

// WithDrainTimeout sets how long Close goes on writing what is queued while the
// connection is open. The default is 1 s; 0 does not drain.
func WithDrainTimeout(d time.Duration) Option {
	return func(c *config) {
		if d < 0 {
			c.wrong("WithDrainTimeout", d, "must be zero or longer")
		}
		c.drainTimeout = d
	}
}

// mergedHeader is the header for one attempt. Its names are in canonical form, as
// they must be for net/http to find them.
func (c *config) mergedHeader(own http.Header) http.Header {
	merged := http.Header{}
	for _, h := range [...]http.Header{c.header, own} {
		for name, values := range h {
			merged[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	return merged
}
