package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

const (
	patience   = 10 * time.Second                  // the timeout of the contexts of calls
	closeBound = time.Second + 2*time.Second       // the drain timeout and a close handshake
	runBound   = patience + closeBound             // Run's context ends, and then it closes
	hung       = time.Hour + 1234*time.Millisecond // how long a function that hangs does
)

// The methods, and how long each may take, wherever it is called, with a context that ends
// after patience.
var methods = map[string]struct {
	bound time.Duration
	call  func(ctx context.Context, c *wechatws.Client)
}{
	"Close":      {closeBound, func(_ context.Context, c *wechatws.Client) { _ = c.Close(1000, "") }},
	"CloseNow":   {0, func(_ context.Context, c *wechatws.Client) { _ = c.CloseNow() }},
	"Shutdown":   {patience, func(ctx context.Context, c *wechatws.Client) { _ = c.Shutdown(ctx) }},
	"Connect":    {runBound, func(ctx context.Context, c *wechatws.Client) { _ = c.Connect(ctx) }},
	"Run":        {runBound, func(ctx context.Context, c *wechatws.Client) { _ = c.Run(ctx) }},
	"Reconnect":  {0, func(_ context.Context, c *wechatws.Client) { _ = c.Reconnect() }},
	"Disconnect": {0, func(_ context.Context, c *wechatws.Client) { _ = c.Disconnect(1, errors.New("enough")) }},
	"Fail":       {0, func(_ context.Context, c *wechatws.Client) { c.Fail(errBanned) }},
	"Request": {patience, func(ctx context.Context, c *wechatws.Client) {
		_, _ = c.Request(ctx, "request", func(wechatws.Message) bool { return false })
	}},
	"Call": {patience, func(ctx context.Context, c *wechatws.Client) {
		_, _ = wechatws.Call[any](ctx, c, struct{}{})
	}},
	"SendConfirmed": {patience, func(ctx context.Context, c *wechatws.Client) {
		_, _ = c.SendConfirmed(ctx, "confirm", func(wechatws.Message) bool { return false })
	}},
	"Flush": {patience, func(ctx context.Context, c *wechatws.Client) { _ = c.Flush(ctx) }},
	"Send":  {0, func(ctx context.Context, c *wechatws.Client) { _ = c.Send(ctx, "x") }},
	"Messages": {patience, func(ctx context.Context, c *wechatws.Client) {
		for range c.Messages(ctx) {
		}
	}},
	"Done": {patience, func(ctx context.Context, c *wechatws.Client) {
		select {
		case <-c.Done():
		case <-ctx.Done():
		}
	}},
	"State": {0, func(_ context.Context, c *wechatws.Client) { _ = c.State() }},
	"Stats": {0, func(_ context.Context, c *wechatws.Client) { _ = c.Stats() }},
	"On": {0, func(_ context.Context, c *wechatws.Client) {
		c.OnMessage(func(context.Context, wechatws.Message) {})()
		wechatws.On(c, "x", func(context.Context, comment) {})()
	}},
	"Close, then Connect": {closeBound + patience, func(ctx context.Context, c *wechatws.Client) {
		_ = c.Close(1000, "")
		_ = c.Connect(ctx)
	}},
}

// A userPlace is one user function. It calls enter, once; ctx is nil if the function has
// none.
type userPlace struct {
	options  func(w *world, enter func(ctx context.Context)) []wechatws.Option
	register func(c *client, enter func(ctx context.Context))
	dynamic  bool // the URL is the endpoint function's
}

func option(make func(enter func(context.Context)) wechatws.Option) userPlace {
	return userPlace{options: func(_ *world, enter func(context.Context)) []wechatws.Option {
		return []wechatws.Option{make(enter)}
	}}
}

func callback(register func(c *client, enter func(context.Context))) userPlace {
	return userPlace{register: register}
}

func monitored(method string) userPlace {
	return option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithNetworkMonitor(enteringMonitor{newFakeNetwork(true), method, enter})
	})
}

func traced(make func(enter func(context.Context)) wechatws.Trace) userPlace {
	return option(func(enter func(context.Context)) wechatws.Option { return wechatws.WithTrace(make(enter)) })
}

func ofConn(method string) userPlace {
	return option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithDialer(enteringDialer{method, enter})
	})
}

func ofNetConn(method string) userPlace {
	return userPlace{options: func(w *world, enter func(context.Context)) []wechatws.Option {
		return []wechatws.Option{wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := w.net.DialContext(ctx, network, addr)
			return enteringNetConn{conn, method, enter}, err
		})}
	}}
}

var userPlaces = map[string]userPlace{
	"On": callback(func(c *client, enter func(context.Context)) {
		wechatws.On(c.Client, "x", func(ctx context.Context, _ struct{}) { enter(ctx) })
	}),
	"OnMessage": callback(func(c *client, enter func(context.Context)) {
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) { enter(ctx) })
	}),
	"OnMessageNoCopy": callback(func(c *client, enter func(context.Context)) {
		c.OnMessageNoCopy(func(ctx context.Context, _ wechatws.Message) { enter(ctx) })
	}),
	"OnUnknown": callback(func(c *client, enter func(context.Context)) {
		c.OnUnknown(func(ctx context.Context, _ wechatws.Message) { enter(ctx) })
	}),
	"OnOpen": callback(func(c *client, enter func(context.Context)) {
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { enter(ctx) })
	}),
	"OnClose": callback(func(c *client, enter func(context.Context)) {
		c.OnClose(func(ctx context.Context, _ wechatws.CloseEvent) { enter(ctx) })
	}),
	"OnError": callback(func(c *client, enter func(context.Context)) {
		c.OnError(func(ctx context.Context, _ error) { enter(ctx) })
	}),
	"OnStateChange": callback(func(c *client, enter func(context.Context)) {
		c.OnStateChange(func(ctx context.Context, _ wechatws.StateChange) { enter(ctx) })
	}),
	"OnStateChange at the end": callback(func(c *client, enter func(context.Context)) {
		c.OnStateChange(func(ctx context.Context, e wechatws.StateChange) {
			if e.To == wechatws.StateClosed {
				enter(ctx)
			}
		})
	}),
	"OnNetworkChange": callback(func(c *client, enter func(context.Context)) {
		c.OnNetworkChange(func(ctx context.Context, _ wechatws.NetworkStatus) { enter(ctx) })
	}),
	"BeforeConnect": callback(func(c *client, enter func(context.Context)) {
		c.BeforeConnect(func(ctx context.Context, _ int) error { enter(ctx); return nil })
	}),
	"AfterConnect": callback(func(c *client, enter func(context.Context)) {
		c.AfterConnect(time.Minute, func(ctx context.Context, _ *wechatws.Setup) error { enter(ctx); return nil })
	}),
	"a request's match": callback(func(c *client, enter func(context.Context)) {
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) {
			go func() {
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				_, _ = c.Request(ctx, "ask", func(wechatws.Message) bool { enter(nil); return false })
			}()
		})
	}),
	"endpoint": {dynamic: true, options: func(w *world, enter func(context.Context)) []wechatws.Option {
		return []wechatws.Option{wechatws.WithEndpoint(func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) {
			enter(ctx)
			return wechatws.Endpoint{URL: w.srv.URL()}, nil
		})}
	}},
	"login": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithLogin(func(ctx context.Context) (any, error) { enter(ctx); return "login", nil })
	}),
	"heartbeat": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Second, NewMessage: func(int) (any, error) { enter(nil); return "beat", nil }})
	}),
	"pong": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Second, Pong: func(wechatws.Message) bool { enter(nil); return true }})
	}),
	"retry policy": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithRetryIf(func(wechatws.Failure) bool { enter(nil); return true })
	}),
	"back-off": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithBackOff(func() backoff.BackOff { return enteringBackOff{enter} })
	}),
	"net dial": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithNetDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
			enter(ctx)
			return nil, errors.New("none")
		})
	}),
	"dialer": ofConn("Dial"),
	"marshal": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithCodec(enteringCodec{"Marshal", new(atomic.Int32), enter})
	}),
	"unmarshal": {
		options: func(_ *world, enter func(context.Context)) []wechatws.Option {
			return []wechatws.Option{wechatws.WithCodec(enteringCodec{"Unmarshal", new(atomic.Int32), enter})}
		},
		register: func(c *client, _ func(context.Context)) {
			wechatws.On(c.Client, "x", func(context.Context, comment) {})
		},
	},
	"trace of a dial": traced(func(enter func(context.Context)) wechatws.Trace {
		return wechatws.Trace{DialStart: func(ctx context.Context, _ wechatws.DialInfo) context.Context { enter(ctx); return nil }}
	}),
	"trace of a ping": traced(func(enter func(context.Context)) wechatws.Trace {
		return wechatws.Trace{Ping: func(ctx context.Context, _ wechatws.PingInfo) { enter(ctx) }}
	}),
	"trace of a message written": traced(func(enter func(context.Context)) wechatws.Trace {
		return wechatws.Trace{MessageSent: func(ctx context.Context, _ wechatws.MessageInfo) { enter(ctx) }}
	}),
	"trace of a close": traced(func(enter func(context.Context)) wechatws.Trace {
		return wechatws.Trace{Close: func(ctx context.Context, _ wechatws.CloseEvent) { enter(ctx) }}
	}),
	"unpack for a connection": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithUnpack(func(n int) func(wechatws.Message) ([]wechatws.Message, error) { enter(nil); return unpackLines(n) })
	}),
	"unpack": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithUnpack(func(int) func(wechatws.Message) ([]wechatws.Message, error) {
			return func(m wechatws.Message) ([]wechatws.Message, error) { enter(nil); return []wechatws.Message{m}, nil }
		})
	}),
	"type function": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithTypeFunc(func(wechatws.Message) string { enter(nil); return "x" })
	}),
	"log handler": option(func(enter func(context.Context)) wechatws.Option {
		return wechatws.WithLogger(slog.New(enteringHandler{enter}))
	}),
	"monitor's status": monitored("Status"),
	"monitor's watch":  monitored("Watch"),
	"monitor's stop":   monitored("stop"),
	"conn's reader":    ofConn("Reader"),
	"conn's write":     ofConn("Write"),
	"conn's ping":      ofConn("Ping"),
	"conn's close":     ofConn("Close"),
	"conn's close now": ofConn("CloseNow"),
	"net conn's read":  ofNetConn("Read"),
	"net conn's write": ofNetConn("Write"),
	"net conn's close": ofNetConn("Close"),
}

// late is encoded by the writer.
type late struct{}

// play makes each of the functions run, unless the client has ended before: it opens a
// connection, sends and receives everything that there is, loses the connection and the
// network, and closes.
func play(t *testing.T, w *world, p userPlace, enter func(ctx context.Context, c *client)) {
	var c *client
	once := func(ctx context.Context) { enter(ctx, c) }
	monitor := newFakeNetwork(true)
	options := []wechatws.Option{wechatws.WithNetworkMonitor(monitor)}
	if p.options != nil {
		options = append(options, p.options(w, once)...)
	}
	url := w.srv.URL()
	if p.dynamic {
		url = ""
	}
	c = w.clientOf(url, options...)
	if p.register != nil {
		p.register(c, once)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = c.Run(t.Context())
	}()
	w.sleep(time.Second)
	for _, conn := range w.srv.Conns() {
		for _, text := range []string{`{"msg_type":"x"}`, `{"msg_type":"other"}`, `not JSON`} {
			_ = conn.Send(text)
		}
	}
	monitor.set(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sent := make(chan struct{})
	go func() { // MessageOut may be called on it
		defer close(sent)
		_ = c.Send(ctx, late{}, wechatws.EncodeOnWrite())
	}()
	w.sleep(5 * time.Second)
	for _, conn := range w.srv.Conns() {
		_ = conn.Close(4000, "")
	}
	w.sleep(30 * time.Second)
	for gone := false; !gone; { // again, when a callback for the end has connected anew
		began := time.Now()
		_ = c.Close(1000, "")
		assert.LessOrEqual(t, time.Since(began), closeBound, "Close from outside")
		select {
		case <-c.Done():
			gone = true
		case <-time.After(2 * hung):
		}
	}
	assert.Equal(t, wechatws.StateClosed, c.State())
	<-over
	<-sent
}

// Each method may be called in each user function, with its context or another one, and on a
// goroutine that the function waits for. It keeps its bound, and the client can be closed
// and ends.
func TestEveryMethodInEveryFunction(t *testing.T) {
	t.Parallel()
	for where, p := range userPlaces {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			for name, method := range methods {
				for _, how := range []string{"its context", "another context", "another goroutine"} {
					t.Run(name+", "+how, func(t *testing.T) {
						virtual(t, func(t *testing.T, w *world) {
							var calls atomic.Int32
							play(t, w, p, func(own context.Context, c *client) {
								if c == nil || calls.Add(1) > 1 {
									return
								}
								if own == nil || how == "another context" {
									own = context.Background()
								}
								ctx, cancel := context.WithTimeout(own, patience)
								defer cancel()
								began := time.Now()
								if how == "another goroutine" {
									done := make(chan struct{})
									go func() {
										defer close(done)
										method.call(ctx, c.Client)
									}()
									<-done
								} else {
									method.call(ctx, c.Client)
								}
								assert.LessOrEqual(t, time.Since(began), method.bound)
							})
							assert.Positive(t, calls.Load(), "the function was called")
						})
					})
				}
			}
		})
	}
}

// Close, CloseNow, Shutdown and the end of Run's context wait for no user function: they keep
// their bounds while one hangs.
func TestClosingWaitsForNoUserFunction(t *testing.T) {
	t.Parallel()
	for where, p := range userPlaces {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			for name, end := range map[string]struct {
				bound time.Duration
				call  func(c *client, ctx context.Context)
			}{
				"Close":    {closeBound, func(c *client, _ context.Context) { _ = c.Close(1000, "") }},
				"CloseNow": {0, func(c *client, _ context.Context) { _ = c.CloseNow() }},
				"Shutdown": {5 * time.Second, func(c *client, ctx context.Context) { _ = c.Shutdown(ctx) }},
			} {
				t.Run(name, func(t *testing.T) {
					virtual(t, func(t *testing.T, w *world) {
						var calls atomic.Int32
						play(t, w, p, func(_ context.Context, c *client) {
							if c == nil || calls.Add(1) > 1 {
								return
							}
							go func() {
								time.Sleep(500 * time.Millisecond)
								ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
								defer cancel()
								began := time.Now()
								end.call(c, ctx)
								assert.LessOrEqual(t, time.Since(began), end.bound)
								assert.Equal(t, wechatws.StateClosed, c.State())
								select {
								case <-c.Done():
									t.Error("its goroutines are gone, and one hangs")
								default:
								}
							}()
							time.Sleep(hung)
						})
						assert.Positive(t, calls.Load(), "the function was called")
						w.sleep(hung)
					})
				})
			}
		})
	}
}

// An errorOf is an error of the user whose methods call the client.
type errorOf struct{ c *wechatws.Client }

func (e errorOf) Error() string      { return fmt.Sprintf("%v is dead", e.c) }
func (e errorOf) Is(error) bool      { return e.c.State() == wechatws.StateIdle }
func (e errorOf) Unwrap() error      { _ = e.c.Stats(); return nil }
func (e errorOf) As(target any) bool { return e.c.State() == wechatws.StateIdle }

func TestErrorsWhoseMethodsCallTheClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 1}))...).connect()
		require.NoError(t, c.Disconnect(1, errorOf{c.Client}))
		w.sleep(2 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.NoError(t, c.Disconnect(2, wechatws.Permanent(errorOf{c.Client})))
		w.sleep(2 * time.Second)
		require.Equal(t, wechatws.StateFailed, c.State())
		require.ErrorIs(t, c.Send(t.Context(), 1), wechatws.ErrClosed)
		<-c.Done()
	})
}

func TestEveryMethodInsideEveryCallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
		c := w.client(quiet()...)
		calls := 0
		everything := func(ctx context.Context) {
			calls++
			_ = c.State()
			_ = c.Stats()
			_ = c.Send(ctx, wechatws.Text(`{"msg_type":"a"}`))
			_ = c.Send(ctx, wechatws.Binary([]byte("b")))
			remove := wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) {})
			remove()
			assert.ErrorIs(t, c.Connect(ctx), wechatws.ErrAlreadyConnected)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = c.Flush(short)
			_, _ = c.Request(short, "q", func(wechatws.Message) bool { return true })
		}
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { everything(ctx) })
		c.OnClose(func(ctx context.Context, e wechatws.CloseEvent) {
			if e.Err != nil { // otherwise Connect would start afresh
				everything(ctx)
			}
		})
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
			if calls < 20 {
				everything(ctx)
			}
		})
		c.connect()
		w.sleep(time.Minute)
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Minute)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.GreaterOrEqual(t, calls, 20)
		_ = c.Close(1000, "")
	})
}
