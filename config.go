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
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
)

// config is what the options make. It does not change after New.
type config struct {
	// Connect.
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
	everyFrame   bool // read all frames through the WebSocket library

	// Session.
	login        func(context.Context) (any, error)
	loginMessage any // of WithLoginMessage
	heartbeat    Heartbeat
	beat         *Outbound // the encoded heartbeat message
	liveness     Liveness
	typeField    string
	codec        Codec

	// Reconnect.
	newBackOff     func() backoff.BackOff // nil: no reconnect
	jitter         float64
	stableAfter    time.Duration
	neverReset     bool // a stable connection does not restart the schedule, as in the original
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
		dialer:         coder.Dialer{},
		dialTimeout:    10 * time.Second,
		readLimit:      1 << 20,
		heartbeat:      defaultHeartbeat,
		liveness:       defaultLiveness,
		typeField:      "msg_type",
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
	case c.endpoint != nil && rawURL != "":
		errs = append(errs, wrong("WithEndpoint", "func", "give New an empty url when the endpoint comes from a function"))
	case c.endpoint == nil && rawURL == "":
		errs = append(errs, wrong("url", `""`, "give a URL, or WithEndpoint"))
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
		err := protect(func() (err error) { m, err = encode(c.codec, c.loginMessage); return err })
		c.login = func(context.Context) (any, error) { return m, nil }
		if err != nil {
			errs = append(errs, wrong("WithLoginMessage", fmt.Sprintf("%T", c.loginMessage), "must be a message that can be sent: "+because(err)))
		}
	}
	h, l := c.heartbeat, c.liveness
	if h.Interval > 0 && h.Message == nil {
		h.Message = map[string]string{c.typeField: "ping"}
	}
	if h.Interval > 0 && h.NewMessage == nil {
		err := protect(func() (err error) { c.beat, err = heartbeatMessage(c.codec, h.Message); return err })
		if err != nil {
			errs = append(errs, wrong("WithHeartbeat", fmt.Sprintf("%T", h.Message), because(err)))
		}
	}
	if l.Timeout > 0 && h.Pong == nil && l.Interval >= l.Timeout {
		errs = append(errs, wrong("WithLiveness", fmt.Sprintf("interval %v, timeout %v", l.Interval, l.Timeout), "the timeout must be longer than the interval"))
	}
	if l.Timeout > 0 && h.Pong != nil && h.Interval >= l.Timeout {
		errs = append(errs, wrong("WithHeartbeat", fmt.Sprintf("interval %v", h.Interval), fmt.Sprintf("with Pong the interval must be shorter than the liveness timeout (%v)", l.Timeout)))
	}
	return errors.Join(errs...)
}
