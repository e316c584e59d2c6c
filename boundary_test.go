package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

var errOops = errors.New("oops")

// The ways in which a function fails without returning.
var faults = []struct {
	name   string
	happen func()
	value  string // of the PanicError
}{
	{"panic", func() { panic("oops") }, "oops"},
	{"panic with an error", func() { panic(errOops) }, "oops"},
	{"panic with nil", func() { var none any; panic(none) }, new(runtime.PanicNilError).Error()},
	{"Goexit", runtime.Goexit, "runtime.Goexit"},
}

// A trigger is called by a function of the user, and fails when it is armed: once, or always.
type trigger struct {
	happen func()
	always bool
	armed  atomic.Bool
}

func (g *trigger) pull() {
	if g.always && g.armed.Load() || g.armed.CompareAndSwap(true, false) {
		g.happen()
	}
}

// Where the error of a function is found.
type place string

const (
	ofConnect place = "returned by Connect"
	attempt   place = "a failed attempt"
	closing   place = "the end of a connection"
	onError   place = "reported to OnError"
	ending    place = "the end of the client"
	nowhere   place = "ignored"
)

// errors returns the errors that a client has reported in one place.
func (p place) errors(c *client, connect error) (errs []error) {
	switch p {
	case ofConnect:
		errs = []error{connect}
	case closing:
		for _, e := range c.ends() {
			errs = append(errs, e.Err)
		}
	case ending:
		for _, change := range c.moves() {
			if change.To == wechatws.StateFailed {
				errs = append(errs, change.Err)
			}
		}
	case attempt, onError:
		for _, err := range c.errors() {
			if de := (*wechatws.DialError)(nil); errors.As(err, &de) == (p == attempt) {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

// find returns the panics among these errors.
func (p place) find(c *client, connect error) (found []*wechatws.PanicError) {
	for _, err := range p.errors(c, connect) {
		if pe := (*wechatws.PanicError)(nil); errors.As(err, &pe) {
			found = append(found, pe)
		}
	}
	return found
}

// A userFunction is one that a client calls.
type userFunction struct {
	name  string
	where place
	early bool // it fails before the client is open
	give  func(w *world, pull func()) []wechatws.Option
	add   func(c *wechatws.Client, pull func())
}

func giving(o func(pull func()) wechatws.Option) func(*world, func()) []wechatws.Option {
	return func(_ *world, pull func()) []wechatws.Option { return []wechatws.Option{o(pull)} }
}

func tracing(where func(t *wechatws.Trace, pull func())) func(*world, func()) []wechatws.Option {
	return giving(func(pull func()) wechatws.Option {
		var t wechatws.Trace
		where(&t, pull)
		return wechatws.WithTrace(t)
	})
}

func faultyNetDial(method string, more ...wechatws.Option) func(*world, func()) []wechatws.Option {
	return func(w *world, pull func()) []wechatws.Option {
		return append(more, wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			if method == "Dial" {
				pull()
			}
			conn, err := w.net.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &faultyNetConn{conn, method, pull}, nil
		}))
	}
}

func faultyConns(method string, own bool) func(*world, func()) []wechatws.Option {
	return func(w *world, pull func()) []wechatws.Option {
		var dialer transport.Dialer = coder.Dialer{}
		if own {
			dialer = ownDialer{w.net}
		}
		return []wechatws.Option{wechatws.WithDialer(faultyDialer{dialer, method, pull})}
	}
}

func monitorOf(method string) func(*world, func()) []wechatws.Option {
	return giving(func(pull func()) wechatws.Option {
		return wechatws.WithNetworkMonitor(faultyMonitor{newFakeNetwork(true), method, pull})
	})
}

func backOffOf(method string) func(*world, func()) []wechatws.Option {
	return giving(func(pull func()) wechatws.Option {
		return wechatws.WithBackOff(func() backoff.BackOff { return faultyBackOff{method, pull} })
	})
}

func loggerOf(method string) func(*world, func()) []wechatws.Option {
	return giving(func(pull func()) wechatws.Option {
		return wechatws.WithLogger(slog.New(faultyHandler{slog.DiscardHandler, method, pull}))
	})
}

func beating(h func(pull func()) wechatws.Heartbeat) func(*world, func()) []wechatws.Option {
	return giving(func(pull func()) wechatws.Option { return wechatws.WithHeartbeat(h(pull)) })
}

func userFunctions() []userFunction {
	return []userFunction{
		{name: "WithEndpoint", where: attempt, early: true, give: func(w *world, pull func()) []wechatws.Option {
			return []wechatws.Option{wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
				pull()
				return wechatws.Endpoint{URL: w.srv.URL()}, nil
			})}
		}},
		{name: "WithLogin", where: attempt, early: true, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithLogin(func(context.Context) (any, error) { pull(); return "login", nil })
		})},
		{name: "MarshalJSON of the login", where: attempt, early: true, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithLogin(func(context.Context) (any, error) { return faultyValue{pull}, nil })
		})},
		{name: "WithProxy", where: attempt, early: true, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithProxy(func(*http.Request) (*url.URL, error) { pull(); return nil, nil })
		})},
		{name: "BeforeConnect", where: attempt, early: true, add: func(c *wechatws.Client, pull func()) {
			c.BeforeConnect(func(context.Context, int) error { pull(); return nil })
		}},
		{name: "AfterConnect", where: attempt, early: true, add: func(c *wechatws.Client, pull func()) {
			c.AfterConnect(time.Minute, func(context.Context, *wechatws.Setup) error { pull(); return nil })
		}},
		{name: "values of Connect's context", where: onError, early: true}, // see try

		{name: "WithBackOff", where: ofConnect, early: true, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithBackOff(func() backoff.BackOff { pull(); return faultyBackOff{} })
		})},
		{name: "BackOff.NextBackOff", where: ending, give: backOffOf("NextBackOff")},
		{name: "BackOff.Reset", where: ending, give: backOffOf("Reset")},
		{name: "WithRetryIf", where: ending, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithRetryIf(func(wechatws.Failure) bool { pull(); return true })
		})},

		{name: "NetworkMonitor.Status", where: onError, early: true, give: monitorOf("Status")},
		{name: "NetworkMonitor.Watch", where: onError, early: true, give: monitorOf("Watch")},
		{name: "stop of NetworkMonitor.Watch", where: onError, early: true, give: monitorOf("stop")},

		{name: "Heartbeat.NewMessage", where: onError, give: beating(func(pull func()) wechatws.Heartbeat {
			return wechatws.Heartbeat{NewMessage: func(int) (any, error) { pull(); return "beat", nil }}
		})},
		{name: "Heartbeat.Pong", where: onError, give: beating(func(pull func()) wechatws.Heartbeat {
			return wechatws.Heartbeat{Pong: func(m wechatws.Message) bool { pull(); return false }}
		})},
		{name: "WithReply", where: onError, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithReply(func(wechatws.Message) (any, error) { pull(); return nil, nil })
		})},
		{name: "Setup.Observe", where: onError, add: func(c *wechatws.Client, pull func()) {
			c.AfterConnect(time.Minute, func(_ context.Context, o *wechatws.Setup) error {
				return o.Observe(func(wechatws.Message) { pull() })
			})
		}},
		{name: "key of WithParallel", where: onError, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithParallel(func(wechatws.Message) string { pull(); return "x" }, 2)
		})},
		{name: "MarshalJSON of a reply", where: onError, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithReply(func(m wechatws.Message) (any, error) {
				if m.Type == "echo" { // of the server: it would echo for ever
					return nil, nil
				}
				return faultyValue{pull}, nil
			})
		})},

		{name: "WithUnpack", where: attempt, early: true, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithUnpack(func(n int) func(wechatws.Message) ([]wechatws.Message, error) { pull(); return unpackLines(n) })
		})},
		{name: "the function that WithUnpack's returns", where: onError, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithUnpack(func(int) func(wechatws.Message) ([]wechatws.Message, error) {
				return func(m wechatws.Message) ([]wechatws.Message, error) { pull(); return []wechatws.Message{m}, nil }
			})
		})},
		{name: "WithTypeFunc", where: onError, give: giving(func(pull func()) wechatws.Option {
			return wechatws.WithTypeFunc(func(wechatws.Message) string { pull(); return "x" })
		})},

		{name: "On", where: onError, add: func(c *wechatws.Client, pull func()) {
			wechatws.On(c, "x", func(context.Context, struct{}) { pull() })
		}},
		{name: "UnmarshalJSON of a callback's type", where: onError, add: func(c *wechatws.Client, pull func()) {
			pullTarget.Store(&pull)
			wechatws.On(c, "x", func(context.Context, faultyTarget) {})
		}},
		{name: "OnMessage", where: onError, add: func(c *wechatws.Client, pull func()) {
			c.OnMessage(func(context.Context, wechatws.Message) { pull() })
		}},
		{name: "OnMessageNoCopy", where: onError, add: func(c *wechatws.Client, pull func()) {
			c.OnMessageNoCopy(func(context.Context, wechatws.Message) { pull() })
		}},
		{name: "OnUnknown", where: onError, add: func(c *wechatws.Client, pull func()) {
			c.OnUnknown(func(context.Context, wechatws.Message) { pull() })
		}},
		{name: "OnOpen", where: onError, early: true, add: func(c *wechatws.Client, pull func()) {
			c.OnOpen(func(context.Context, wechatws.OpenEvent) { pull() })
		}},
		{name: "OnClose", where: onError, add: func(c *wechatws.Client, pull func()) {
			c.OnClose(func(context.Context, wechatws.CloseEvent) { pull() })
		}},
		{name: "OnError", where: nowhere, add: func(c *wechatws.Client, pull func()) {
			c.OnError(func(context.Context, error) { pull() })
		}},
		{name: "OnStateChange", where: onError, early: true, add: func(c *wechatws.Client, pull func()) {
			c.OnStateChange(func(context.Context, wechatws.StateChange) { pull() })
		}},
		{name: "OnNetworkChange", where: onError, add: func(c *wechatws.Client, pull func()) {
			c.OnNetworkChange(func(context.Context, wechatws.NetworkStatus) { pull() })
		}},

		{name: "Trace.DialStart", where: onError, early: true, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.DialStart = func(context.Context, wechatws.DialInfo) context.Context { pull(); return nil }
		})},
		{name: "Trace.DialDone", where: onError, early: true, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.DialDone = func(context.Context, wechatws.DialInfo) { pull() }
		})},
		{name: "Trace.Open", where: onError, early: true, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.Open = func(context.Context, wechatws.OpenEvent) { pull() }
		})},
		{name: "Trace.Close", where: onError, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.Close = func(context.Context, wechatws.CloseEvent) { pull() }
		})},
		{name: "Trace.Retry", where: onError, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.Retry = func(context.Context, wechatws.StateChange) { pull() }
		})},
		{name: "Trace.Ping", where: onError, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.Ping = func(context.Context, wechatws.PingInfo) { pull() }
		})},
		{name: "Trace.Pong", where: onError, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.Pong = func(context.Context, wechatws.PingInfo) { pull() }
		})},
		{name: "Trace.MessageStart", where: onError, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.MessageStart = func(context.Context, wechatws.MessageInfo) context.Context { pull(); return nil }
		})},
		{name: "Trace.MessageSent", where: onError, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.MessageSent = func(context.Context, wechatws.MessageInfo) { pull() }
		})},
		{name: "Trace.MessageDone", where: onError, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.MessageDone = func(context.Context, wechatws.MessageInfo) { pull() }
		})},
		{name: "Trace.Dropped", where: onError, early: true, give: tracing(func(t *wechatws.Trace, pull func()) {
			t.Dropped = func(context.Context, *wechatws.DroppedError) { pull() }
		})},
		{name: "slog.Handler.Enabled", where: onError, give: loggerOf("Enabled")},
		{name: "slog.Handler.Handle", where: onError, give: loggerOf("Handle")},

		{name: "MarshalJSON with EncodeOnWrite", where: onError}, // see try

		{name: "Dialer", where: attempt, early: true, give: faultyConns("Dial", true)},
		{name: "Conn.Subprotocol", where: attempt, early: true, give: faultyConns("Subprotocol", true)},
		{name: "Conn.Reader", where: closing, give: faultyConns("Reader", true)},
		{name: "Conn.Reader, on a network connection of ours", where: closing, give: faultyConns("Reader", false)},
		{name: "Conn.Reader.Read", where: closing, give: faultyConns("Read", true)},
		{name: "Conn.Write", where: closing, give: faultyConns("Write", true)},
		{name: "Conn.Write, on a network connection of ours", where: closing, give: faultyConns("Write", false)},
		{name: "Conn.Ping", where: closing, give: faultyConns("Ping", true)},
		{name: "Conn.Close", where: onError, give: faultyConns("Close", true)},
		{name: "Conn.CloseNow", where: onError, give: faultyConns("CloseNow", true)},

		{name: "WithNetDial", where: attempt, early: true, give: faultyNetDial("Dial")},
		{name: "net.Conn.Read in the handshake", where: attempt, early: true, give: faultyNetDial("Read")},
		{name: "net.Conn.Write in the handshake", where: attempt, early: true, give: faultyNetDial("Write")},
		{name: "net.Conn.Read", where: closing, give: faultyNetDial("Read")},
		{name: "net.Conn.Write", where: closing, give: faultyNetDial("Write")},
		{name: "net.Conn.Read, below a library", where: closing, give: faultyNetDial("Read", wechatws.WithDialer(coder.Dialer{}))},
		{name: "net.Conn.Write, below a library", where: closing, give: faultyNetDial("Write", wechatws.WithDialer(coder.Dialer{}))},
		{name: "net.Conn.Read, below nhooyr", where: closing, give: faultyNetDial("Read", wechatws.WithDialer(nhooyr.Dialer{}))},
		{name: "net.Conn.Write, below nhooyr", where: closing, give: faultyNetDial("Write", wechatws.WithDialer(nhooyr.Dialer{}))},
		{name: "net.Conn.SetWriteDeadline", where: closing, give: faultyNetDial("SetWriteDeadline")},
		{name: "net.Conn.Close", where: onError, give: faultyNetDial("Close")},
	}
}

// Whatever a function of the user does, the process and the other clients continue, and so does
// the client, with a few exceptions that end it. The error is reported where it belongs, and the
// client can be closed at once, leaving nothing behind.
func TestEveryFunctionOfTheUser(t *testing.T) {
	t.Parallel()
	for _, fn := range userFunctions() {
		t.Run(fn.name, func(t *testing.T) {
			t.Parallel()
			for _, fault := range faults {
				for _, always := range []bool{false, true} {
					name := fault.name
					if always {
						name += ", always"
					}
					t.Run(name, func(t *testing.T) {
						virtual(t, func(t *testing.T, w *world) {
							try(t, w, fn, &trigger{happen: fault.happen, always: always}, fault.value)
						})
					})
				}
			}
		})
	}
}

// try runs a client through everything that calls functions of the user.
func try(t *testing.T, w *world, fn userFunction, g *trigger, value string) {
	w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) { _ = conn.Send(`{"msg_type":"echo"}`) })
	other := w.client(quiet()...).record().connect()
	defer other.CloseNow()
	network := newFakeNetwork(true)
	options := []wechatws.Option{wechatws.WithNetworkMonitor(network), wechatws.WithStableAfter(time.Second)}
	if fn.give != nil {
		options = append(options, fn.give(w, g.pull)...)
	}
	endpoint, ctx, late := w.srv.URL(), t.Context(), faultyValue{func() {}}
	switch fn.name {
	case "WithEndpoint":
		endpoint = ""
	case "values of Connect's context":
		ctx = faultyContext{ctx, g.pull}
	case "MarshalJSON with EncodeOnWrite":
		pulls := 0
		late.pull = func() {
			if pulls++; pulls > 1 { // the first is Send's
				g.pull()
			}
		}
	}
	c := w.clientOf(endpoint, options...)
	defer c.CloseNow()
	if fn.add != nil {
		fn.add(c.Client, g.pull)
	}
	require.NoError(t, c.Send(t.Context(), wechatws.Text("dropped"), wechatws.ExpireAfter(time.Nanosecond)))
	w.sleep(time.Second)

	g.armed.Store(fn.early)
	connected := make(chan error, 1)
	go func() { connected <- c.Connect(ctx) }()
	w.sleep(4 * time.Second)
	g.armed.Store(g.armed.Load() || !fn.early)
	go func() { // a trace function may end it
		_ = c.Send(t.Context(), wechatws.Text(make([]byte, 10_000))) // large enough for a deadline
		_ = c.Send(t.Context(), late, wechatws.EncodeOnWrite())
		_ = c.Send(t.Context(), wechatws.Text("last"))
	}()
	each := func(do func(*wstest.Conn)) {
		for _, conn := range w.srv.Conns()[1:] {
			do(conn)
		}
	}
	each(func(conn *wstest.Conn) { _ = conn.Send(`{"msg_type":"x"}`) })
	w.sleep(4 * time.Second) // heartbeats and pings
	network.set(true)
	_ = c.Reconnect()
	w.sleep(4 * time.Second)
	each(func(conn *wstest.Conn) { conn.Cut(wstest.FIN) })
	w.sleep(4 * time.Second)
	switch {
	case g.always:
	case fn.where == ofConnect:
		require.Equal(t, wechatws.StateIdle, c.State())
	case fn.where == ending:
		require.Equal(t, wechatws.StateFailed, c.State())
	default:
		require.Equal(t, wechatws.StateOpen, c.State())
		var written []string
		each(func(conn *wstest.Conn) { written = append(written, received(conn)...) })
		require.Contains(t, written, "last")
	}
	other.send("hello")
	w.sleep(time.Second)
	require.Equal(t, []string{`{"msg_type":"echo"}`}, other.texts())
	other.close()

	began := time.Now()
	_ = c.Close(wechatws.StatusNormalClosure, "")
	require.LessOrEqual(t, time.Since(began), 4*time.Second)
	w.sleep(time.Second)
	require.Zero(t, w.net.Clients())
	require.LessOrEqual(t, w.net.MaxClients(), 2, "one for each client")
	g.armed.Store(false)
	require.NoError(t, c.Connect(t.Context()))
	c.close()
	if fn.where == nowhere {
		return
	}
	found := fn.where.find(c, <-connected)
	require.NotEmpty(t, found)
	require.Equal(t, value, fmt.Sprint(found[0].Value))
	require.Contains(t, string(found[0].Stack), "trigger).pull")
	if value == "oops" {
		_, isError := found[0].Value.(error)
		require.Equal(t, isError, errors.Is(found[0], errOops))
	}
}
