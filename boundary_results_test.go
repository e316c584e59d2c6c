package wechatws_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"
)

type dialWith func(context.Context, transport.Handshake) (transport.Conn, *http.Response, error)

func (f dialWith) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	return f(ctx, h)
}

// A invalidConn returns nil results, or errors whose methods panic.
type invalidConn struct {
	transport.Conn
	reader io.Reader
	err    error
}

func (c *invalidConn) Reader() (transport.MessageType, io.Reader, error) {
	if typ, _, err := c.Conn.Reader(); err != nil {
		return typ, nil, err
	}
	return transport.TextMessage, c.reader, c.err
}

type invalidNetConn struct {
	net.Conn
	method string
}

func (c *invalidNetConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.method == "Read" && n < 100 { // not the handshake
		n = -1
	}
	return n, err
}

func (c *invalidNetConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.method == "Write" && n < 100 {
		n++
	}
	return n, err
}

type noStop struct{ *fakeNetwork }

func (noStop) Watch(func(wechatws.NetworkStatus)) (stop func()) { return nil }

// faultyError panics when an error is looked for in it.
type faultyError struct{}

func (faultyError) Error() string { return "faulty" }
func (faultyError) Is(error) bool { panic("oops") }

type faultyBody struct{ happen func() }

func (b faultyBody) Read([]byte) (int, error) { b.happen(); return 0, io.EOF }
func (b faultyBody) Close() error             { b.happen(); return nil }

// Nil and impossible results are errors, and so are errors whose methods panic.
func TestResultsThatCannotBeUsed(t *testing.T) {
	const panics = "user function panicked"
	dialer := func(c transport.Conn, resp *http.Response, err error) wechatws.Option {
		return wechatws.WithDialer(dialWith(func(context.Context, transport.Handshake) (transport.Conn, *http.Response, error) {
			return c, resp, err
		}))
	}
	conn := func(reader io.Reader, err error) wechatws.Option {
		return wechatws.WithDialer(dialWith(func(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
			c, resp, dialErr := coder.Dialer{}.Dial(ctx, h)
			if dialErr == nil {
				c = &invalidConn{c, reader, err}
			}
			return c, resp, dialErr
		}))
	}
	body := func(happen func()) wechatws.Option {
		return dialer(nil, &http.Response{StatusCode: http.StatusServiceUnavailable, Body: faultyBody{happen}}, errOops)
	}
	netDial := func(c net.Conn, err error) wechatws.Option {
		return wechatws.WithNetDial(func(context.Context, string, string) (net.Conn, error) { return c, err })
	}
	login := func(err error) wechatws.Option {
		return wechatws.WithLogin(func(context.Context) (any, error) { return nil, err })
	}
	back := func(b backoff.BackOff) wechatws.Option {
		return wechatws.WithBackOff(func() backoff.BackOff { return b })
	}
	var noError *net.OpError // its methods panic, but for Error
	const neither = "returned neither a connection nor an error"
	for name, tt := range map[string]struct {
		option wechatws.Option
		where  place
		want   string
	}{
		"Dialer":                           {dialer(nil, nil, nil), attempt, neither},
		"Dialer, nil pointer":              {dialer((*invalidConn)(nil), nil, nil), attempt, neither},
		"Dialer, with a response":          {dialer(nil, &http.Response{StatusCode: http.StatusSwitchingProtocols}, nil), attempt, neither},
		"Dialer, error":                    {dialer(nil, nil, noError), attempt, panics},
		"Dialer, body, panic":              {body(func() { panic("oops") }), attempt, "503"},
		"Dialer, body, Goexit":             {body(runtime.Goexit), attempt, "503"},
		"WithNetDial":                      {netDial(nil, nil), attempt, neither},
		"WithNetDial, nil pointer":         {netDial((*net.TCPConn)(nil), nil), attempt, neither},
		"WithNetDial, nil pointer, own":    {netDial((*invalidNetConn)(nil), nil), attempt, neither},
		"WithNetDial, error":               {netDial(nil, noError), attempt, panics},
		"WithFence, error":                 {wechatws.WithFence(func() error { return noError }), attempt, panics},
		"login, error, Unwrap":             {login(noError), attempt, panics},
		"login, error, Is":                 {login(faultyError{}), attempt, panics},
		"login, error, Error":              {login((*url.Error)(nil)), attempt, panics},
		"login, panic with a faulty error": {wechatws.WithLogin(func(context.Context) (any, error) { panic(faultyError{}) }), attempt, "methods panic too"},
		"Conn.Reader":                      {conn(nil, nil), closing, "neither a reader nor an error"},
		"Conn.Reader, count":               {conn(readFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), nil), closing, "invalid count"},
		"Conn.Reader, error":               {conn(nil, noError), closing, panics},
		"NetworkMonitor.Watch":             {wechatws.WithNetworkMonitor(noStop{newFakeNetwork(true)}), onError, "Watch returned nil"},
		"WithBackOff":                      {back(nil), ofConnect, "WithBackOff(nil)"},
		"WithBackOff, nil pointer":         {back((*backoff.ExponentialBackOff)(nil)), ofConnect, "WithBackOff(nil)"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), tt.option)...)
				connected := make(chan error, 1)
				go func() { connected <- c.Connect(t.Context()) }()
				w.sleep(time.Second)
				for _, conn := range w.srv.Conns() {
					_ = conn.Send(`{"msg_type":"x"}`)
				}
				w.sleep(time.Second)
				require.NoError(t, c.CloseNow())
				w.sleep(0)
				require.ErrorContains(t, errors.Join(tt.where.errors(c, <-connected)...), tt.want)
				require.Zero(t, w.net.Clients())
			})
		})
	}
	for _, method := range []string{"Read", "Write"} {
		t.Run("net.Conn."+method, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := w.net.DialContext(ctx, network, addr)
					return &invalidNetConn{conn, method}, err
				})).connect()
				defer c.CloseNow()
				w.sleep(4 * time.Second)
				require.ErrorContains(t, c.lastClose().Err, "invalid count")
			})
		})
	}
}

// The callbacks of a TLS configuration are called by goroutines of net/http.
func TestFaultsOfATLSConfig(t *testing.T) {
	for _, fault := range faults {
		for name, set := range map[string]func(*tls.Config){
			"VerifyConnection": func(c *tls.Config) {
				c.VerifyConnection = func(tls.ConnectionState) error { fault.happen(); return nil }
			},
			"VerifyPeerCertificate": func(c *tls.Config) {
				c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { fault.happen(); return nil }
			},
		} {
			t.Run(name+", "+fault.name, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					n := wstest.NewNetwork()
					srv := wstest.NewServer(wstest.WithNetwork(n), wstest.WithTLS())
					defer srv.Close()
					conf := srv.ClientTLS()
					set(conf)
					c := w.clientOf(srv.URL(), wechatws.WithNetDial(n.DialContext), wechatws.WithTLSConfig(conf), wechatws.WithoutReconnect())
					var pe *wechatws.PanicError
					require.ErrorAs(t, c.Connect(t.Context()), &pe)
					require.Zero(t, n.Clients())
				})
			})
		}
	}
}

// Below TLS a connection is used by goroutines of net/http until it is open, and by the
// client's from then on.
func TestFaultsOfANetConnBelowTLS(t *testing.T) {
	for _, fault := range faults {
		for _, method := range []string{"Read", "Write"} {
			for _, early := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, early: %v", method, fault.name, early), func(t *testing.T) {
					virtual(t, func(t *testing.T, w *world) {
						n := wstest.NewNetwork()
						srv := wstest.NewServer(wstest.WithNetwork(n), wstest.WithTLS())
						defer srv.Close()
						g := &trigger{happen: fault.happen}
						g.armed.Store(early)
						c := w.clientOf(srv.URL(), wechatws.WithTLSConfig(srv.ClientTLS()), wechatws.WithNetDial(
							func(ctx context.Context, network, addr string) (net.Conn, error) {
								conn, err := n.DialContext(ctx, network, addr)
								return &faultyNetConn{conn, method, g.pull}, err
							})).connect()
						defer c.CloseNow()
						where := attempt
						if !early {
							where = closing
							g.armed.Store(true)
							w.sleep(8 * time.Second) // a heartbeat and its pong
						}
						require.NotEmpty(t, where.find(c, nil))
						require.Equal(t, wechatws.StateOpen, c.State())
						c.close()
						require.Zero(t, n.Clients())
					})
				})
			}
		}
	}
}

// net/http calls LocalAddr of a connection to a SOCKS proxy, and expects a non-nil address.
func TestFaultsOfARemoteAddress(t *testing.T) {
	for name, addr := range map[string]func() net.Addr{
		"none":   func() net.Addr { return nil },
		"panic":  func() net.Addr { panic("oops") },
		"Goexit": func() net.Addr { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(wechatws.WithoutReconnect(),
					wechatws.WithProxy(func(*http.Request) (*url.URL, error) { return url.Parse("socks5://proxy") }),
					wechatws.WithNetDial(func(ctx context.Context, network, _ string) (net.Conn, error) {
						conn, err := w.net.DialContext(ctx, network, w.srv.Addr())
						return &addressedConn{conn, addr}, err
					}))
				var de *wechatws.DialError
				require.ErrorAs(t, c.Connect(t.Context()), &de)
				require.Zero(t, w.net.Clients())
			})
		})
	}
}

type addressedConn struct {
	net.Conn
	addr func() net.Addr
}

func (c *addressedConn) RemoteAddr() net.Addr { return c.addr() }

// The causes given to Disconnect and returned by AfterConnect functions are errors of the user
// too.
func TestAnErrorWhoseMethodsPanicAsTheCause(t *testing.T) {
	for name, err := range map[string]error{"Unwrap": (*net.OpError)(nil), "Error": (*url.Error)(nil)} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				failed := false
				c.AfterConnect(time.Second, func(context.Context, *wechatws.Setup) error {
					if !failed {
						failed = true
						return err
					}
					return nil
				})
				c.connect()
				require.NotEmpty(t, attempt.find(c, nil))
				require.NoError(t, c.Disconnect(2, err))
				w.sleep(time.Minute)
				require.Equal(t, wechatws.StateOpen, c.State())
				require.NotEmpty(t, closing.find(c, nil))
				c.close()
			})
		})
	}
}

// A nil context is an error, as other arguments are.
func TestANilContextIsAnError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var none context.Context
		match := func(wechatws.Message) bool { return true }
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
			_, err := o.Receive(none)
			_, callErr := wechatws.Call[any](none, o, struct{}{})
			for verb, err := range map[string]error{"Setup.Send": o.Send(none, "x"), "Setup.Receive": err, "Call": callErr} {
				requireOptionError(t, err, verb)
			}
			return nil
		})
		requireOptionError(t, c.Connect(none), "Connect")
		requireOptionError(t, c.Run(none), "Run")
		c.connect()
		requireOptionError(t, c.Send(none, "x"), "Send")
		requireOptionError(t, c.Shutdown(none), "Shutdown")
		for _, err := range c.Messages(none) {
			requireOptionError(t, err, "Messages")
		}
		requireOptionError(t, c.Flush(none), "Flush")
		_, err := c.Request(none, "x", match)
		requireOptionError(t, err, "Request")
		_, err = wechatws.Call[any](none, c.Client, struct{}{})
		requireOptionError(t, err, "Call")
		_, err = c.SendConfirmed(none, "x", match)
		requireOptionError(t, err, "SendConfirmed")
		c.flush()
		require.Empty(t, received(w.conn()))
		c.close()
	})
}

func requireOptionError(t *testing.T, err error, option string) {
	t.Helper()
	var oe *wechatws.OptionError
	require.ErrorAs(t, err, &oe)
	require.Equal(t, option, oe.Option)
}

// A nil option is an error, as it is for New.
func TestANilSendOptionIsAnError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		requireOptionError(t, c.Send(t.Context(), "x", nil), "Send")
		requireOptionError(t, c.Send(t.Context(), wechatws.Text("x"), wechatws.FailFast(), nil), "Send")
		_, err := c.SendConfirmed(t.Context(), "x", func(wechatws.Message) bool { return true }, nil)
		requireOptionError(t, err, "SendConfirmed")
		c.flush()
		require.Empty(t, received(w.conn()))
		c.close()
	})
}

// A panic on the goroutine of the caller is not recovered, and leaves nothing behind.
func TestFaultsOnTheGoroutineOfTheCaller(t *testing.T) {
	t.Parallel()
	for _, fault := range faults {
		match := func(wechatws.Message) bool { return true }
		for name, call := range map[string]func(ctx context.Context, c *wechatws.Client){
			"MarshalJSON of a message": func(ctx context.Context, c *wechatws.Client) {
				_ = c.Send(ctx, faultyValue{fault.happen})
			},
			"body of a loop over Messages": func(ctx context.Context, c *wechatws.Client) {
				for range c.Messages(ctx) {
					fault.happen()
				}
			},
			"Done of a context": func(ctx context.Context, c *wechatws.Client) {
				_, _ = c.Request(doneContext{ctx, fault.happen}, "x", match)
			},
			"Done of a context, waiting": func(ctx context.Context, c *wechatws.Client) {
				_ = c.Flush(doneContext{ctx, fault.happen})
			},
		} {
			t.Run(name+", "+fault.name, func(t *testing.T) {
				t.Parallel()
				virtual(t, func(t *testing.T, w *world) {
					w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) { _ = conn.Send(string(m.Data)) })
					c := w.client(quiet()...).record().connect()
					conn := w.conn()
					conn.StopReading()
					c.send(string(make([]byte, 1<<20))) // waits, and so does what follows
					w.sleep(0)
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						defer func() { _ = recover() }()
						call(t.Context(), c.Client)
					}()
					w.sleep(time.Second)
					require.NoError(t, conn.Send(`{"msg_type":"x"}`))
					w.sleep(time.Second)
					<-ended
					require.LessOrEqual(t, c.Stats().Queued, 1)
					conn.ResumeReading()
					w.sleep(time.Second)
					c.flush()
					_, err := c.SendConfirmed(t.Context(), "after", func(m wechatws.Message) bool { return string(m.Data) == `"after"` })
					require.NoError(t, err)
					w.sleep(0)
					require.Equal(t, 3, len(c.texts()))
					require.False(t, slices.Contains(received(conn), `"x"`))
					c.close()
				})
			})
		}
	}
}

type doneContext struct {
	context.Context
	happen func()
}

func (c doneContext) Done() <-chan struct{} { c.happen(); return nil }

// New does not recover a panic of an option.
func TestAPanicInAnOptionReachesTheCaller(t *testing.T) {
	require.PanicsWithValue(t, "oops", func() { _, _ = wechatws.New("ws://localhost", panicking(wechatws.WithoutHeartbeat())) })
}

// panicking makes an option of the type of another one, whose argument has no exported type.
func panicking[T any](func(*T)) func(*T) { return func(*T) { panic("oops") } }

// A callback that ends its goroutine does not keep other callbacks from the event, also on the
// reader goroutine of a busy connection.
func TestGoexitDoesNotStopOtherCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTrace(wechatws.Trace{
			MessageStart: func(context.Context, wechatws.MessageInfo) context.Context { runtime.Goexit(); return nil },
			MessageDone:  func(context.Context, wechatws.MessageInfo) { runtime.Goexit() },
		}))...)
		var got []string
		note := func(name string) { got = append(got, name) }
		c.OnMessage(func(context.Context, wechatws.Message) { note("first"); runtime.Goexit() })
		c.OnMessage(func(context.Context, wechatws.Message) { note("second"); runtime.Goexit() })
		wechatws.On(c.Client, "x", func(context.Context, struct{}) { note("third"); runtime.Goexit() })
		wechatws.On(c.Client, "x", func(context.Context, struct{}) { note("fourth") })
		c.OnUnknown(func(context.Context, wechatws.Message) { note("unknown") })
		c.connect()
		conn := w.conn()
		var want []string
		for range 100 { // busy
			require.NoError(t, conn.Send(`{"msg_type":"x"}`))
			require.NoError(t, conn.Send(`{"msg_type":"y"}`))
			want = append(want, "first", "second", "third", "fourth", "first", "second", "unknown")
		}
		w.sleep(time.Second)
		require.Equal(t, want, got)
		c.close()
	})
}

// New encodes messages that are given once, and reports a panic in MarshalJSON like any wrong value.
func TestMessagesOfOptionsWhoseEncodingPanics(t *testing.T) {
	v := faultyValue{func() { panic("oops") }}
	for name, option := range map[string]wechatws.Option{
		"WithLoginMessage": wechatws.WithLoginMessage(v),
		"WithHeartbeat":    wechatws.WithHeartbeat(wechatws.Heartbeat{Message: v}),
	} {
		_, err := wechatws.New("ws://h", option)
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, name)
		require.Equal(t, name, wrong.Option)
		require.ErrorContains(t, err, "user function panicked", name)
	}
}
