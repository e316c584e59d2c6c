package wechatws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/printable"
)

// An Option configures a [Client]. Options are plain values and may be shared by any number
// of clients.
//
// A later option replaces an earlier one that sets the same thing, also if the earlier one
// was wrong. Options of the same name set the same thing, and so do WithEndpoint and
// WithEndpoints, WithLogin and WithLoginMessage, WithHeartbeat and WithoutHeartbeat, WithLiveness
// and WithoutLiveness, WithTypeField, WithTypePath and WithTypeFunc, and WithTiers, WithBackOff and
// WithoutReconnect.
//
// [New] returns an *[OptionError] for each option that is wrong. A nil argument is wrong
// unless the option's comment gives it a meaning.
type Option func(*config)

// Session: what an open connection does.

// WithLogin sends the value that fn returns as the first message of every connection, by
// default none. The value may be anything that [Client.Send] takes; nil sends nothing.
//
// fn runs on a goroutine of its own, one call at a time. It may block; its context ends after the
// dial timeout ([WithDialTimeout]) or when the client is closed. An error from it, or a write that
// fails, is a failed attempt; an error marked with [Permanent] ends the client.
//
// The peer refuses the login if it closes every connection with 1003, 1007, 1008 or 1009 before
// anything else is written. That is retried as a refusal of the client is ([WithPermanentAfter]),
// with the queue kept; then the client ends in [StateFailed]. [CloseError.Err] contains the size of
// the login.
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

// WithLoginMessage sends v as the first message of every connection, by default none: it is
// [WithLogin] for a message that is always the same. [New] encodes v, once, and returns an error
// if that fails; later changes of v have no effect, unless it is an [Outbound] that was sent
// with [EncodeOnWrite].
func WithLoginMessage(v any) Option {
	return setting("WithLogin", func(c *config) error {
		c.login, c.loginMessage = nil, v
		if v == nil {
			return wrong("WithLoginMessage", "nil", "must be a message; leave the option out to send none")
		}
		return nil
	})
}

// WithHeartbeat sets the application heartbeat, by default {"msg_type":"ping"} every 3 s, or none
// with [WithTypePath] or [WithTypeFunc]. Zero fields keep their defaults. A time below zero, both
// Message and NewMessage, and with WithTypePath or WithTypeFunc neither of them, are errors.
// [Setup.SetHeartbeat] replaces it for one connection.
//
// It mirrors the original's _start.
func WithHeartbeat(h Heartbeat) Option {
	return setting("WithHeartbeat", func(c *config) error {
		if err := h.check("WithHeartbeat"); err != nil {
			return err
		}
		h.Interval = cmp.Or(h.Interval, defaultHeartbeat.Interval)
		c.pulse.Heartbeat, c.ownHeartbeat = h, true
		return nil
	})
}

// WithoutHeartbeat sends no application heartbeat. Protocol pings continue; see
// [WithLiveness].
//
// It mirrors heartCheck false in the original.
func WithoutHeartbeat() Option {
	return setting("WithHeartbeat", func(c *config) error { c.pulse.Heartbeat = Heartbeat{}; return nil })
}

// WithLiveness sets how a half-open connection is found, by default with a ping every 3 s and
// a timeout of 10 s. Zero fields keep their defaults. The timeout must be longer than the
// interval of the pings. With [Heartbeat] Pong the interval has no effect, and heartbeats that are
// further apart than half the timeout make it longer.
func WithLiveness(l Liveness) Option {
	return setting("WithLiveness", func(c *config) error {
		given := fmt.Sprintf("interval %v, timeout %v", l.Interval, l.Timeout)
		switch {
		case l.Interval < 0 || l.Timeout < 0:
			return wrong("WithLiveness", given, "must be longer than zero; WithoutLiveness switches it off")
		case lacksUnit(l.Interval) || lacksUnit(l.Timeout):
			return wrong("WithLiveness", given, needsUnit)
		}
		c.liveness = Liveness{
			Interval: cmp.Or(l.Interval, defaultLiveness.Interval),
			Timeout:  cmp.Or(l.Timeout, defaultLiveness.Timeout),
		}
		return nil
	})
}

// WithoutLiveness sends no protocol pings and does not end a connection whose peer is silent,
// like the original. A half-open connection then lasts until the kernel gives up, which takes
// about 15 minutes with heartbeats.
func WithoutLiveness() Option {
	return setting("WithLiveness", func(c *config) error { c.liveness = Liveness{}; return nil })
}

// WithTypeField sets the name of the top-level field that messages are routed by, by default
// "msg_type". Its value is a string, or a number or boolean, which is routed by its JSON text:
// a callback registered with On(client, "4", …) is called for "op":4. The name must be valid
// UTF-8 that needs no escapes in JSON. [WithTypePath] is for a field inside another one.
//
// The default heartbeat has the field too: with "type" it is {"type":"ping"}. A server that does not
// expect that needs [WithoutHeartbeat] or [WithHeartbeat].
func WithTypeField(name string) Option {
	return setting("WithTypeField", func(c *config) error {
		c.typeField, c.typePath, c.typeFunc = name, []string{name}, nil
		if strings.ContainsAny(name, "./[") {
			nested := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("./[]", r) })
			return wrong("WithTypeField", printable.Quote(name), fmt.Sprintf("must be one top-level field; a nested one is WithTypePath(%s), one of this name WithTypePath(%s)", quoted(nested), quoted(c.typePath)))
		}
		return checkPath("WithTypeField", c.typePath)
	})
}

// WithTypePath sets where in a message its type is, by default at the top-level field "msg_type":
// WithTypePath("header", "event_type") routes {"header":{"event_type":"x"}} as x. An element that
// is a decimal number is also the index of an array's element: WithTypePath("0") routes
// ["EVENT",{}] as EVENT. The value and the names are as in [WithTypeField], of which it takes the
// place. There is no default heartbeat then; see [WithHeartbeat].
func WithTypePath(path ...string) Option {
	path = slices.Clone(path)
	return setting("WithTypeField", func(c *config) error {
		c.typeField, c.typePath, c.typeFunc = "", path, nil
		return checkPath("WithTypePath", path)
	})
}

// WithTypeFunc sets the function that returns the type of a message, by default the value of a
// field ([WithTypeField], of which it takes the place). It is for everything that one field does
// not decide, and for messages that are not JSON; [Message.Field] reads single values. With ""
// the message has no type. There is no default heartbeat then; see [WithHeartbeat].
//
// fn is called once with each message, text or binary, on the goroutine that reads the connection,
// or on that of a [Client.AfterConnect] function that receives. While it runs nothing else is read,
// so it must be fast and must not block. m has no Type; its Data is valid until fn returns. If fn
// panics, the message has no type, and [Client.OnError] callbacks receive a [*PanicError]. fn is
// called by one goroutine at a time for each client.
func WithTypeFunc(fn func(m Message) string) Option {
	return setting("WithTypeField", func(c *config) error {
		c.typeField, c.typePath, c.typeFunc = "", nil, fn
		if fn == nil {
			return wrong("WithTypeFunc", "nil", "must be a function")
		}
		return nil
	})
}

// checkPath checks the path to a value in messages.
func checkPath(option string, path []string) error {
	if len(path) == 0 {
		return wrong(option, "", "must have the names of the fields that lead to the value")
	}
	for _, name := range path {
		switch {
		case name == "":
			return wrong(option, quoted(path), "must be the name of a field")
		case !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }):
			return wrong(option, quoted(path), "must be valid UTF-8 that JSON writes without escapes")
		}
	}
	return nil
}

// WithCodec sets how messages are encoded and decoded, by default as encoding/json does,
// [encoding/json.Number] included, and without the escapes \u0026, \u003c and \u003e. The default
// decodes in less than half the time of encoding/json; docs/dependencies.md lists the differences.
func WithCodec(codec Codec) Option {
	return setting("WithCodec", func(c *config) error {
		if boundary.IsNil(codec) {
			return wrong("WithCodec", "nil", "must be a Codec")
		}
		c.codec = codec
		return nil
	})
}

// Reconnect: when the next attempt follows, and when none does.

// WithTiers sets the reconnect schedule, by default the original's tiers: 3 s for 20
// attempts, 10 s for 30, then 450 s without end. When the last tier is used up, the client
// ends in [StateFailed] with the last error. At least one tier is required.
//
// It mirrors the original's _reConnect.
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

// WithBackOff sets the reconnect schedule to a policy of github.com/cenkalti/backoff/v4, by
// default that of [WithTiers]. fn is called once by every [Client.Connect] and [Client.Run],
// since a policy has state and belongs to one session; these wait for fn, which must not block.
// The client calls the policy from one goroutine at a time. Delays are at least 1 ms. With
// backoff.Stop the client ends in [StateFailed] with the last error.
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
// connection.
//
// It mirrors isReconnection false in the original.
func WithoutReconnect() Option {
	return setting("WithTiers", func(c *config) error { c.newBackOff = nil; return nil })
}

// WithJitter makes each wait of the schedule random, between wait × (1 − fraction) and
// wait × (1 + fraction), by default 0: no jitter. fraction is from 0 to 1. Use 0.2 if you run more
// than one client; otherwise all of them reconnect at the same moment.
//
// A Retry-After is only lengthened: by up to fraction of it, or by up to a tenth if fraction is 0.
// An attempt that would follow a change of the network at once ([WithNetworkMonitor]) is delayed by a
// random time of up to 2 × fraction × the delay of the first tier ([WithTiers]), of which at most 3 s
// count, or 3 s with [WithBackOff]: by up to 1.2 s with the default tiers and a fraction of 0.2.
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
// default 5 s. It must be above zero.
func WithStableAfter(d time.Duration) Option {
	return setting("WithStableAfter", func(c *config) error {
		c.stableAfter = d
		return positive("WithStableAfter", d)
	})
}

// WithRetryIf sets the function that reports whether another attempt follows a failure, by
// default [DefaultRetryIf]. If fn returns false, the client ends in [StateFailed] with the
// failure's error. fn is not called for an error marked with [Permanent]. It is called from
// one goroutine at a time for each client, and must not block.
//
// After the end of a connection the callbacks of its messages run before fn is called and before
// anything is dialed, so that fn may use what the last message has said. The wait of the schedule
// goes on meanwhile. fn is called without them after 10 s, after [Client.Reconnect], and, when the
// next attempt is due, if the callback that runs waits in [Client.Request], [Client.SendConfirmed],
// [Client.Flush] or [Client.Send] with its own context.
func WithRetryIf(fn func(Failure) bool) Option {
	return setting("WithRetryIf", func(c *config) error {
		if fn == nil {
			return wrong("WithRetryIf", "nil", "must be a function")
		}
		c.retryIf = fn
		return nil
	})
}

// WithPermanentAfter sets how long a client that has been open retries while the server
// repeats the same refusal, by default 15 minutes. A refusal is a 403, for example, or a close
// with 1008. The first attempt after that time that is refused too ends the client. With 0 the
// third refusal in a row does. [DefaultRetryIf] lists the refusals, and what applies before
// the first open; with a function of [WithRetryIf] only [Failure.Persistent] changes.
func WithPermanentAfter(d time.Duration) Option {
	return setting("WithPermanentAfter", func(c *config) error {
		c.permanentAfter = d
		return notNegative("WithPermanentAfter", d)
	})
}

// WithNetworkMonitor sets the monitor of the network, by default none. While there is no
// network, the client does not dial and waits in [StateOffline]; when the network comes back,
// it dials at once. [SystemNetwork] is the monitor of the machine's own network.
//
// After each change that the monitor reports,
//   - an open connection is probed: the peer must answer within half the liveness timeout
//     ([WithLiveness]). If it does not, and the route to the server or its proxy has changed, the next
//     attempt follows at once. If the machine has lost the connection's local address and has another
//     route, the connection ends without a probe;
//   - a wait ends if the route to the server has changed;
//   - an attempt under way is restarted if its source address is gone, and once if the network comes or
//     goes; otherwise it continues, and if it fails after a change of the route, the next one follows
//     at once.
//
// The route is unknown if [WithNetDial] makes connections that are not of package net; then each
// change counts, for at most one attempt a second. [WithJitter] spreads what follows at once.
//
// It mirrors wx.getNetworkType in initWebSocket, and onNetworkChange.
func WithNetworkMonitor(m NetworkMonitor) Option {
	return setting("WithNetworkMonitor", func(c *config) error {
		if boundary.IsNil(m) {
			return wrong("WithNetworkMonitor", "nil", "must be a NetworkMonitor such as SystemNetwork()")
		}
		c.network = m
		return nil
	})
}

// Queue: messages that wait to be written.

// WithQueue bounds the outbound queue, in messages and in bytes, and sets what [Client.Send]
// does when it is full, by default 1024 messages, 4 MiB and [QueueFail].
//
// With 0 messages nothing is queued: Send returns [ErrNotOpen] if no connection is open, and
// otherwise blocks until the message is written.
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

// WithDrainTimeout sets how long [Client.Close] writes queued messages before it closes the
// connection, by default 1 s. With 0 it writes none.
func WithDrainTimeout(d time.Duration) Option {
	return setting("WithDrainTimeout", func(c *config) error {
		c.drainTimeout = d
		return notNegative("WithDrainTimeout", d)
	})
}

// Observe.

// WithTrace calls the functions of these traces as things happen, in this order; by default
// there are none. See [Trace]. A later WithTrace replaces an earlier one, as every option does:
// pass all traces to one call. [WithLogger] is independent of it.
func WithTrace(traces ...Trace) Option {
	return setting("WithTrace", func(c *config) error {
		c.trace = untraced.with(traces...)
		return nil
	})
}

// WithLogger logs what the client does, by default nothing: one line for each event that
// matters, with levels that keep the log short at Info during an outage of a day.
//
//	Debug  dialing                 attempt
//	Info   connected               connection, attempt, took; after an outage: away, failures
//	Warn   connection lost         connection, lasted, code, err
//	Warn   attempt failed          attempt, failures, away, delay, err
//	Info   no network              attempt
//	Info   network                 connected, type
//	Error  failed                  attempt, err; the client has ended
//	Info   closed                  err
//	Warn   messages dropped        count, err
//	Warn   message not used        count, type, size, err; above the read limit: connection, no type
//	Error  user function panicked  value, stack
//	Warn   error                   err: all other errors that OnError receives
//
// Of failed attempts in a row, and of unusable messages on one connection, the first, the
// second, the fourth, the eighth and so on are logged at level Warn, the others at Debug. An
// attempt that fails for a reason that is new in this outage is logged at Warn, too; the address is no
// part of the reason, so that several endpoints may take turns. The
// attributes are in a group named wechatws. Durations are text, such as "1.5s". There are no
// secrets: no server's page, no close reason, and no message's data. Types are cut at 200 bytes.
// [WithServerText] adds the page and the reason to err.
//
// The logger's handler is called with the contexts of [Trace] and of the callbacks, so that it
// finds values that [Trace].DialStart has added, such as a span. It is called on the client's
// goroutines, and must not block.
func WithLogger(l *slog.Logger) Option {
	return setting("WithLogger", func(c *config) error {
		if l == nil || l.Handler() == nil {
			return wrong("WithLogger", "nil", "must be a logger with a handler; leave the option out to log nothing")
		}
		c.logger = l
		return nil
	})
}

// WithServerText adds the server's own text to errors and so to the log, by default off: the body of
// a [HandshakeError] or a [ProxyError], and the reason of a [CloseError], quoted, escaped and cut at
// 200 bytes.
//
// Servers repeat in these texts the token that they refuse. In a body, values of the URL and of the
// header are replaced by "[redacted]" where they appear unchanged and have four bytes or more; in a
// reason nothing is replaced. Use it to find a fault, not permanently.
func WithServerText() Option {
	return setting("WithServerText", func(c *config) error { c.serverText = true; return nil })
}
