package wechatws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws/internal/fence"
	"github.com/wechatws/wechatws/internal/printable"
	"github.com/wechatws/wechatws/transport"
)

// An Option sets one thing about a [Client]. Options are plain values and may be shared by
// any number of clients.
//
// A later option replaces an earlier one that sets the same thing, also when the earlier one
// was wrong. Options of the same name set the same thing, and so do WithLogin and
// WithLoginMessage, WithHeartbeat and WithoutHeartbeat, WithLiveness and WithoutLiveness, and
// WithTiers, WithBackOff and WithoutReconnect.
//
// An option that is wrong is an *[OptionError] from [New]; so is a nil argument, unless the
// option's comment gives it a meaning.
type Option func(*config)

// Connect: where to, and how.

// WithEndpoint calls fn before every attempt for where to connect, instead of the url given
// to [New], which must be empty then. It is for tokens that expire and for hosts that change.
//
// fn receives the number of the attempt, and the error of the attempt or connection before,
// or nil. It may block until its context ends, which is when the client is closed or the dial
// timeout is over. An error from it is a failed attempt, and ends the client when it is
// marked with [Permanent]. An Endpoint that cannot be used is a failed attempt as well, with an
// *[OptionError] in its *[DialError]; the next one may be right.
func WithEndpoint(fn func(ctx context.Context, attempt int, last error) (Endpoint, error)) Option {
	return setting("WithEndpoint", func(c *config) error {
		c.endpoint = fn
		if fn == nil { // stands for one, so that the url is not found missing as well
			c.endpoint = func(context.Context, int, error) (Endpoint, error) { return Endpoint{}, nil }
			return wrong("WithEndpoint", "nil", "must be a function")
		}
		return nil
	})
}

// WithHeader sends h with every handshake, by default none: cookies, tokens, an Origin. The
// headers that make up the handshake itself are refused. nil is no header.
func WithHeader(h http.Header) Option {
	return setting("WithHeader", func(c *config) error {
		c.header = h.Clone()
		return checkHeader("WithHeader", h)
	})
}

// WithSubprotocols offers these subprotocols, the preferred one first; by default none.
// [OpenEvent] has the one that the server chose.
func WithSubprotocols(names ...string) Option {
	return setting("WithSubprotocols", func(c *config) error {
		c.subprotocols = slices.Clone(names)
		var errs []error
		for i, name := range names {
			at := fmt.Sprintf("name %d of %d", i+1, len(names)) // the name may be a token of the user's
			switch {
			case !isToken(name):
				errs = append(errs, wrong("WithSubprotocols", at, "must be an HTTP token such as \"chat.v1\""))
			case slices.Contains(names[:i], name):
				errs = append(errs, wrong("WithSubprotocols", at, "must be given once"))
			}
		}
		return errors.Join(errs...)
	})
}

// WithTLSConfig uses this configuration for wss, by default Go's. It is cloned. TLS 1.2 is
// the oldest version allowed.
func WithTLSConfig(t *tls.Config) Option {
	return setting("WithTLSConfig", func(c *config) error {
		if t == nil {
			return wrong("WithTLSConfig", "nil", "must be a configuration")
		}
		for _, version := range [...]uint16{t.MinVersion, t.MaxVersion} {
			if version != 0 && version < tls.VersionTLS12 {
				return wrong("WithTLSConfig", tls.VersionName(version), "versions below TLS 1.2 are not allowed")
			}
		}
		c.tls = t.Clone()
		protectTLS(c.tls)
		return nil
	})
}

// WithProxy chooses the proxy for each handshake as the Proxy field of [http.Transport] does,
// by default with [http.ProxyFromEnvironment]. nil is no proxy.
func WithProxy(fn func(*http.Request) (*url.URL, error)) Option {
	return setting("WithProxy", func(c *config) error { c.proxy = fn; return nil })
}

// WithNetDial makes the network connections below TLS and HTTP, by default with a zero
// [net.Dialer]: for choosing an interface, setting socket options, or a network in memory.
// The default's connections have TCP_NODELAY set; for 10 minutes, an address of a name that
// has failed is tried after the others.
//
// fn runs on a goroutine of its own and must return when its context ends. The
// context has the deadline of the dial timeout, which net.Dialer shares out among the
// addresses of a name. The order of the addresses is fn's.
func WithNetDial(fn func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return setting("WithNetDial", func(c *config) error {
		if fn == nil {
			return wrong("WithNetDial", "nil", "must be a function")
		}
		c.netDial = fn
		return nil
	})
}

// fenced makes the option that [fence.New] documents.
func fenced(allow func() error) Option { return func(c *config) { c.fence = allow } }

func init() { fence.New = func(allow func() error) any { return fenced(allow) } }

// WithDialer sets the WebSocket library below the client, by default Dialer of
// transport/coder; Dialer of transport/nhooyr is another one. A Dialer may wrap the Conn of
// one of these, which then reads and writes every message.
func WithDialer(d transport.Dialer) Option {
	return setting("WithDialer", func(c *config) error {
		if isNil(d) {
			return wrong("WithDialer", "nil", "must be a Dialer")
		}
		c.dialer = d
		return nil
	})
}

// WithDialTimeout bounds an attempt from DNS to the server's answer, by default to 10 s. The
// endpoint function before it and the login message after it have as long again, each.
func WithDialTimeout(d time.Duration) Option {
	return setting("WithDialTimeout", func(c *config) error {
		c.dialTimeout = d
		return positive("WithDialTimeout", d)
	})
}

// WithReadLimit sets the largest message that is accepted, in bytes after decompression, by
// default 1 MiB; [math.MaxInt64] is no limit. A larger message ends the connection with a
// *[ReadLimitError], and a reconnect follows.
func WithReadLimit(bytes int64) Option {
	return setting("WithReadLimit", func(c *config) error {
		c.readLimit = bytes
		if bytes <= 0 {
			return wrong("WithReadLimit", bytes, "must be above zero")
		}
		return nil
	})
}

// WithCompression offers permessage-deflate, without context takeover. It is off by default:
// for messages as small as these it costs more memory and time than it saves. When a server
// compresses wrongly, the client ends that connection with [ErrCompression] and offers no
// compression from then on.
func WithCompression() Option {
	return setting("WithCompression", func(c *config) error { c.compression = true; return nil })
}

// Session: what an open connection does.

// WithLogin sends what fn returns, which may be anything that [Client.Send] takes, as the
// first message of every connection; by default nothing. No message is written before it. fn may block until its
// context ends (the dial timeout); if it returns nil and no error, nothing is sent. An error,
// or a write that fails, is a failed attempt, and ends the client when it is marked with
// [Permanent].
//
// It mirrors the message that the original sends in _onSocketOpened.
func WithLogin(fn func(ctx context.Context) (any, error)) Option {
	return setting("WithLogin", func(c *config) error {
		c.login, c.loginMessage = fn, nil
		if fn == nil {
			return wrong("WithLogin", "nil", "must be a function")
		}
		return nil
	})
}

// WithLoginMessage sends v as the first message of every connection, by default nothing: it
// is [WithLogin] for a message that is always the same.
func WithLoginMessage(v any) Option {
	return setting("WithLogin", func(c *config) error {
		c.login, c.loginMessage = func(context.Context) (any, error) { return v, nil }, v
		if v == nil {
			return wrong("WithLoginMessage", "nil", "must be a message; leave the option out to send none")
		}
		return nil
	})
}

// WithHeartbeat sets the application's heartbeat, by default {"msg_type":"ping"} every 3 s.
// Zero fields keep their defaults. It mirrors the original's _start.
func WithHeartbeat(h Heartbeat) Option {
	return setting("WithHeartbeat", func(c *config) error {
		c.heartbeat = h
		switch {
		case h.Interval < 0:
			return wrong("WithHeartbeat", h.Interval, "the interval must be longer than zero; WithoutHeartbeat switches it off")
		case h.Message != nil && h.NewMessage != nil:
			return wrong("WithHeartbeat", "Message and NewMessage", "give one of the two")
		case h.Interval == 0:
			c.heartbeat.Interval = 3 * time.Second
		}
		return nil
	})
}

// WithoutHeartbeat sends no application heartbeat: heartCheck false in the
// original. Liveness goes on.
func WithoutHeartbeat() Option {
	return setting("WithHeartbeat", func(c *config) error { c.heartbeat = Heartbeat{}; return nil })
}

// WithLiveness sets how a half-open connection is found, by default with a ping every 3 s and
// a timeout of 10 s. Zero fields keep their defaults. The timeout must be longer than the
// interval between the questions to the peer: that of the pings, or with Heartbeat.Pong that
// of the heartbeats.
func WithLiveness(l Liveness) Option {
	return setting("WithLiveness", func(c *config) error {
		c.liveness = l
		if l.Interval < 0 || l.Timeout < 0 {
			return wrong("WithLiveness", fmt.Sprintf("interval %v, timeout %v", l.Interval, l.Timeout), "must be longer than zero; WithoutLiveness switches it off")
		}
		if l.Interval == 0 {
			c.liveness.Interval = 3 * time.Second
		}
		if l.Timeout == 0 {
			c.liveness.Timeout = 10 * time.Second
		}
		return nil
	})
}

// WithoutLiveness sends no protocol pings and does not judge the peer by its
// silence, like the original: a half-open connection then hangs until the
// kernel gives up, which with heartbeats takes about a quarter of an hour.
func WithoutLiveness() Option {
	return setting("WithLiveness", func(c *config) error { c.liveness = Liveness{}; return nil })
}

// WithTypeField sets the name of the field that messages are routed by, by default
// "msg_type". It is a field at the top level of each message. Its value is a string, or a number
// or boolean, which is routed by its JSON text: On(client, "4", …) is called for "op":4.
func WithTypeField(name string) Option {
	return setting("WithTypeField", func(c *config) error {
		c.typeField = name
		switch {
		case name == "":
			return wrong("WithTypeField", `""`, "must be the name of a field")
		case !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }):
			return wrong("WithTypeField", printable.Quote(name), "must be valid UTF-8 that JSON writes without escapes")
		}
		return nil
	})
}

// WithCodec sets how messages are encoded and decoded. The default encodes as
// encoding/json does and decodes what encoding/json decodes, [encoding/json.Number] included, at
// less than half its cost; docs/dependencies.md lists the differences.
func WithCodec(codec Codec) Option {
	return setting("WithCodec", func(c *config) error {
		if isNil(codec) {
			return wrong("WithCodec", "nil", "must be a Codec")
		}
		c.codec = codec
		return nil
	})
}

// Reconnect: when the next attempt follows, and when none does.

// WithTiers sets the reconnect schedule, by default the original's tiers: 3 s for 20
// attempts, 10 s for 30, then 450 s for ever. When the last tier is used up, the client ends
// in [StateFailed] with the last error.
func WithTiers(tiers ...Tier) Option {
	return setting("WithTiers", func(c *config) error {
		t, err := newTiers(tiers...)
		if err != nil {
			return err
		}
		c.newBackOff = func() backoff.BackOff { return &tierSchedule{tiers: t.tiers} }
		return nil
	})
}

// WithBackOff makes the reconnect schedule from any policy of
// github.com/cenkalti/backoff/v4, instead of [WithTiers]. fn is called once for every Connect
// and Run, since a policy has state and belongs to one client. A policy that returns
// backoff.Stop ends the client in [StateFailed] with the last error.
func WithBackOff(fn func() backoff.BackOff) Option {
	return setting("WithTiers", func(c *config) error {
		c.newBackOff = fn
		if fn == nil {
			return wrong("WithBackOff", "nil", "must be a function that makes a backoff.BackOff")
		}
		return nil
	})
}

// WithoutReconnect ends the client in [StateFailed] at the first failed attempt or lost
// connection: isReconnection false in the original.
func WithoutReconnect() Option {
	return setting("WithTiers", func(c *config) error { c.newBackOff = nil; return nil })
}

// WithJitter spreads each wait evenly over ± fraction of itself, by default 0: the schedule is
// exact. Use it (0.2 is good) whenever you run more than one client: clients that lost the
// same server then do not come back in the same moment.
func WithJitter(fraction float64) Option {
	return setting("WithJitter", func(c *config) error {
		c.jitter = fraction
		if !(fraction >= 0 && fraction <= 1) {
			return wrong("WithJitter", fraction, "must be from 0 to 1")
		}
		return nil
	})
}

// WithStableAfter sets how long a connection must have lasted for the schedule to restart, by
// default 5 s.
func WithStableAfter(d time.Duration) Option {
	return setting("WithStableAfter", func(c *config) error {
		c.stableAfter = d
		return positive("WithStableAfter", d)
	})
}

// WithRetryIf sets the function that reports whether another attempt follows a failure, by
// default [DefaultRetryIf]. When fn returns false, the client ends in [StateFailed] with the
// failure's error. fn is not called for an error marked with [Permanent]. It must not block;
// it is never called concurrently for one client.
func WithRetryIf(fn func(Failure) bool) Option {
	return setting("WithRetryIf", func(c *config) error {
		if fn == nil {
			return wrong("WithRetryIf", "nil", "must be a function")
		}
		c.retryIf = fn
		return nil
	})
}

// WithPermanentAfter sets how long a client that has been open retries although the server
// answers nothing but the same refusal, by default 15 minutes; a refusal is a 403, for
// example, or a close with 1008. The first attempt after that time that is refused too ends
// the client, so that it ends one wait of the schedule later at most. With 0 the number alone
// decides: the third refusal in a row. [DefaultRetryIf] lists the refusals, and what applies
// before the first open; with a policy of [WithRetryIf] only [Failure.Persistent] changes.
func WithPermanentAfter(d time.Duration) Option {
	return setting("WithPermanentAfter", func(c *config) error {
		c.permanentAfter = d
		if d < 0 {
			return wrong("WithPermanentAfter", d, "must be zero or longer")
		}
		return nil
	})
}

// WithNetworkMonitor makes the client aware of the network, by default it is not. Without a
// network it does not dial and waits in [StateOffline], and when the network comes back it
// tries at once. [SystemNetwork] is the monitor for the machine's own network.
//
// Each change that the monitor reports cuts a wait short, and asks the peer of an open
// connection to prove itself within half the liveness timeout. An attempt under way is
// restarted only when the network comes or goes, or when the source address for the
// server that it dials has changed; otherwise it goes on, and if it fails, the next one
// follows at once.
//
// It mirrors wx.getNetworkType in initWebSocket, and onNetworkChange.
func WithNetworkMonitor(m NetworkMonitor) Option {
	return setting("WithNetworkMonitor", func(c *config) error {
		if isNil(m) {
			return wrong("WithNetworkMonitor", "nil", "must be a NetworkMonitor such as SystemNetwork()")
		}
		c.network = m
		return nil
	})
}

// Queue: messages that wait to be written.

// WithQueue bounds the outbound queue, in messages and in bytes, and says what [Client.Send]
// does when it is full. The default is 1024 messages, 4 MiB and [QueueFail].
//
// With 0 messages nothing is queued: Send returns [ErrNotOpen] when there is no
// open connection, and otherwise returns when the message is written.
func WithQueue(messages, bytes int, whenFull QueuePolicy) Option {
	return setting("WithQueue", func(c *config) error {
		c.queueMessages, c.queueBytes, c.whenFull = messages, bytes, whenFull
		var errs []error
		if messages < 0 {
			errs = append(errs, wrong("WithQueue", fmt.Sprintf("%d messages", messages), "must be 0 (no queue) or more"))
		}
		if bytes <= 0 && messages > 0 {
			errs = append(errs, wrong("WithQueue", fmt.Sprintf("%d bytes", bytes), "must be above zero"))
		}
		if whenFull < QueueFail || whenFull > QueueDropOldest {
			errs = append(errs, wrong("WithQueue", fmt.Sprintf("policy %d", int(whenFull)), "must be QueueFail, QueueWait or QueueDropOldest"))
		}
		return errors.Join(errs...)
	})
}

// WithDrainTimeout sets how long Close goes on writing what is queued while the
// connection is open, by default 1 s. 0 does not drain.
func WithDrainTimeout(d time.Duration) Option {
	return setting("WithDrainTimeout", func(c *config) error {
		c.drainTimeout = d
		if d < 0 {
			return wrong("WithDrainTimeout", d, "must be zero or longer")
		}
		return nil
	})
}

// Observe: see also WithLogger in log.go.

// WithTrace calls the functions of these traces as things happen, in this order; by default
// there are none. See [Trace]. As with every option, a later WithTrace replaces an earlier one: give all
// traces to one. [WithLogger] is independent of it.
func WithTrace(traces ...Trace) Option {
	return setting("WithTrace", func(c *config) error {
		c.trace = untraced.with(traces...)
		return nil
	})
}
