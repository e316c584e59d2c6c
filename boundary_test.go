package wechatws_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"
)

// requirePanic requires that one of errs is a panic with value.
func requirePanic(t *testing.T, value string, errs ...error) {
	t.Helper()
	var pe *wechatws.PanicError
	require.ErrorAs(t, errors.Join(errs...), &pe)
	require.Equal(t, value, pe.Value)
}

// oneRetry has Connect return the second failure.
func oneRetry() wechatws.Option {
	return wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 1})
}

// A badMonitor is a NetworkMonitor with a fault.
type badMonitor struct{ fault string }

func (m badMonitor) Status() wechatws.NetworkStatus {
	if m.fault == "Status" {
		panic("oops")
	}
	return networkStatus(m.fault == "stop")
}

func (m badMonitor) Watch(func(wechatws.NetworkStatus)) (stop func()) {
	switch m.fault {
	case "Watch":
		panic("oops")
	case "nil stop":
		return nil
	}
	return func() {
		if m.fault == "stop" {
			panic("oops")
		}
	}
}

// A monitor that panics, or cannot be stopped, is reported, and the client connects as if
// there were a network.
func TestANetworkMonitorThatPanicsIsReported(t *testing.T) {
	for _, fault := range []string{"Status", "Watch", "nil stop", "stop"} {
		t.Run(fault, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(wechatws.WithNetworkMonitor(badMonitor{fault})).connect()
				w.sleep(time.Minute)
				assert.Equal(t, wechatws.StateOpen, c.State())
				c.close()
				require.Len(t, c.errors(), 1)
				if fault == "nil stop" {
					assert.ErrorContains(t, c.errors()[0], "Watch returned nil")
				} else {
					requirePanic(t, "oops", c.errors()...)
				}
			})
		})
	}
}

type connDialer func() (transport.Conn, *http.Response, error)

func (f connDialer) Dial(context.Context, transport.Handshake) (transport.Conn, *http.Response, error) {
	return f()
}

// What returns neither a connection nor an error has failed.
func TestADialWithoutAConnectionIsAnError(t *testing.T) {
	netDial := func(c net.Conn) wechatws.Option {
		return wechatws.WithNetDial(func(context.Context, string, string) (net.Conn, error) { return c, nil })
	}
	dialer := func(c transport.Conn, resp *http.Response) wechatws.Option {
		return wechatws.WithDialer(connDialer(func() (transport.Conn, *http.Response, error) { return c, resp, nil }))
	}
	for name, option := range map[string]wechatws.Option{
		"Dialer":                   dialer(nil, nil),
		"Dialer, nil pointer":      dialer((*badConn)(nil), nil),
		"Dialer, with a response":  dialer(nil, &http.Response{StatusCode: http.StatusSwitchingProtocols}),
		"WithNetDial":              netDial(nil),
		"WithNetDial, nil pointer": netDial((*net.TCPConn)(nil)),
		"WithNetDial, own type":    netDial((*badNetConn)(nil)),
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(oneRetry(), option)
				err := c.Connect(t.Context())
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				require.ErrorContains(t, err, "returned neither a connection nor an error")
				require.Equal(t, wechatws.StateFailed, c.State())
				require.Zero(t, w.net.Clients())
			})
		})
	}
}

// A badConn is a Conn whose method with a certain name panics, returns nil or lies.
type badConn struct {
	transport.Conn
	fault *atomic.Value // a string
}

func (c *badConn) fails(method string) bool {
	if c.fault.Load() == method {
		c.fault.Store("")
		panic("oops")
	}
	return c.fault.Load() == method+" lies"
}

func (c *badConn) Reader() (transport.MessageType, io.Reader, error) {
	typ, r, err := c.Conn.Reader()
	if err == nil && c.fails("Reader") {
		return typ, nil, nil
	}
	return typ, readFunc(func(p []byte) (int, error) {
		if c.fails("Read") {
			return len(p) + 1, nil
		}
		return r.Read(p)
	}), err
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func (c *badConn) Write(t transport.MessageType, p []byte) error {
	c.fails("Write")
	return c.Conn.Write(t, p)
}

func (c *badConn) Ping(ctx context.Context) error {
	c.fails("Ping")
	return c.Conn.Ping(ctx)
}

func (c *badConn) Close(code int, reason string) error {
	c.fails("Close")
	return c.Conn.Close(code, reason)
}

func (c *badConn) CloseNow() error {
	err := c.Conn.CloseNow()
	c.fails("CloseNow")
	return err
}

func (c *badConn) Subprotocol() string {
	c.fails("Subprotocol")
	return c.Conn.Subprotocol()
}

// A badDialer makes bad connections, perhaps with no view of the wire for the client.
type badDialer struct {
	transport.Dialer
	fault *atomic.Value
}

func (d badDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	conn, resp, err := d.Dialer.Dial(ctx, h)
	if err == nil {
		conn = &badConn{conn, d.fault}
	}
	return conn, resp, err
}

// A panic in a method of a Conn ends that connection, with the panic as the cause.
func TestAPanicInAConnEndsTheConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for name, dialer := range map[string]transport.Dialer{"with wire": coder.Dialer{}, "without": ownDialer{w.net}} {
			for _, fault := range []string{"Reader", "Reader lies", "Read", "Read lies", "Write", "Ping"} {
				var armed atomic.Value
				armed.Store("")
				c := w.client(wechatws.WithDialer(badDialer{dialer, &armed}), wechatws.WithoutHeartbeat()).record().connect()
				conn := w.conn()
				armed.Store(fault)
				if fault == "Write" {
					require.NoError(t, c.Send(t.Context(), wechatws.Text("sent again")))
				}
				require.NoError(t, conn.Send(`{"msg_type":"lost"}`))
				w.sleep(4 * time.Second)
				armed.Store("")
				w.sleep(4 * time.Second)
				require.Equal(t, wechatws.StateOpen, c.State(), fault)
				require.Equal(t, 2, c.Stats().Opens, fault)
				switch fault {
				case "Reader lies":
					require.ErrorContains(t, c.lastClose().Err, "neither a reader nor an error", name)
				case "Read lies":
					require.ErrorContains(t, c.lastClose().Err, "invalid count", name)
				default:
					requirePanic(t, "oops", c.lastClose().Err)
				}
				if conn = w.conn(); fault == "Write" {
					require.Equal(t, []string{"sent again"}, received(conn))
				}
				require.NoError(t, conn.Send(`{"msg_type":"x"}`))
				w.sleep(time.Second)
				require.Contains(t, c.texts(), `{"msg_type":"x"}`, fault)
				c.close()
				require.Zero(t, w.net.Clients(), fault)
			}
		}
	})
}

// A panic in a method that ends a Conn is reported.
func TestAPanicInTheEndOfAConnIsReported(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for _, fault := range []string{"Close", "CloseNow"} {
			var armed atomic.Value
			armed.Store(fault)
			c := w.client(wechatws.WithDialer(badDialer{ownDialer{w.net}, &armed})).connect()
			if fault == "CloseNow" {
				require.NoError(t, c.CloseNow())
			}
			c.close()
			w.sleep(time.Second)
			requirePanic(t, "oops", append(c.errors(), c.lastClose().Err)...)
			require.Zero(t, w.net.Clients(), fault)
		}
	})
}

// A panic in a method of a Conn that is not open yet is a failed attempt.
func TestAPanicInAConnThatIsNotOpenYetIsAFailedAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for _, fault := range []string{"Subprotocol", "Write", "Reader"} {
			var armed atomic.Value
			armed.Store(fault)
			c := w.client(wechatws.WithDialer(badDialer{ownDialer{w.net}, &armed}), wechatws.WithLoginMessage("login"), wechatws.WithoutReconnect())
			c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
				_, err := o.Receive(ctx)
				return err
			})
			w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) { _ = conn.Send(`{"msg_type":"welcome"}`) })
			err := c.Connect(t.Context())
			var de *wechatws.DialError
			require.ErrorAs(t, err, &de, fault)
			requirePanic(t, "oops", err)
			require.Zero(t, w.net.Clients(), fault)
		}
	})
}

// A badNetConn is a network connection whose method with a certain name panics.
type badNetConn struct {
	net.Conn
	fault *atomic.Value
}

func (c *badNetConn) fails(method string) bool {
	switch c.fault.Load() {
	case method:
		c.fault.Store("")
		panic("oops")
	case method + " lies":
		c.fault.Store("")
		return true
	}
	return false
}

func (c *badNetConn) Read(p []byte) (int, error) {
	if c.fails("Read") {
		return -1, nil
	}
	return c.Conn.Read(p)
}

func (c *badNetConn) Write(p []byte) (int, error) {
	if c.fails("Write") {
		return len(p) + 1, nil
	}
	return c.Conn.Write(p)
}

func (c *badNetConn) Close() error {
	err := c.Conn.Close()
	c.fails("Close")
	return err
}

func (c *badNetConn) SetWriteDeadline(t time.Time) error {
	c.fails("SetWriteDeadline")
	return c.Conn.SetWriteDeadline(t)
}

// A panic in a network connection that WithNetDial has made costs that connection, on
// whatever goroutine it happens.
func TestAPanicInANetConnEndsTheConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for _, fault := range []string{"Read", "Read lies", "Write", "Write lies", "SetWriteDeadline", "Close"} {
			var armed atomic.Value
			armed.Store("")
			c := w.client(wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := w.net.DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return &badNetConn{conn, &armed}, nil
			})).connect()
			conn := w.conn()
			armed.Store(fault)
			c.send(string(make([]byte, 10_000))) // large enough for a deadline
			_ = conn.Send(`{"msg_type":"x"}`)    // the connection may be gone already
			_ = conn.Send(`{"msg_type":"x"}`)
			if fault == "Close" {
				require.NoError(t, c.Reconnect())
			}
			w.sleep(time.Minute)
			require.Equal(t, wechatws.StateOpen, c.State(), fault)
			require.Equal(t, 2, c.Stats().Opens, fault)
			c.close()
			require.Zero(t, w.net.Clients(), fault)
			w.conn()
		}
		// While the handshake is under way, net/http's goroutines call it.
		for _, fault := range []string{"Read", "Write"} {
			var armed atomic.Value
			armed.Store(fault)
			c := w.client(wechatws.WithoutReconnect(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := w.net.DialContext(ctx, network, addr)
				return &badNetConn{conn, &armed}, err
			}))
			requirePanic(t, "oops", c.Connect(t.Context()))
			require.Zero(t, w.net.Clients(), fault)
		}
	})
}

// A panic in a function of a TLS configuration is a failed attempt.
func TestAPanicInATLSConfigIsAFailedAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		n := wstest.NewNetwork()
		srv := wstest.NewServer(wstest.WithNetwork(n), wstest.WithTLS())
		defer srv.Close()
		conf := srv.ClientTLS()
		conf.VerifyConnection = func(tls.ConnectionState) error { panic("oops") }
		c := w.clientOf(srv.URL(), wechatws.WithNetDial(n.DialContext), wechatws.WithTLSConfig(conf), wechatws.WithoutReconnect())
		requirePanic(t, "oops", c.Connect(t.Context()))
		require.Zero(t, n.Clients())
	})
}

// A typedNil is the mistake of returning a nil pointer as an error.
type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

// An error whose text cannot be read is a panic like others.
func TestAnErrorThatPanicsIsAFailedAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithoutReconnect(), wechatws.WithLogin(func(context.Context) (any, error) { return nil, (*typedNil)(nil) }))
		var pe *wechatws.PanicError
		require.ErrorAs(t, c.Connect(t.Context()), &pe)
		require.Zero(t, w.net.Clients())
	})
}

// panicsInReset is a schedule that panics when a connection was stable.
type panicsInReset struct{ resets atomic.Int32 }

func (*panicsInReset) NextBackOff() time.Duration { return time.Second }

func (b *panicsInReset) Reset() {
	if b.resets.Add(1) > 1 {
		panic("oops")
	}
}

// Without a schedule there is no going on.
func TestAScheduleThatPanicsEndsTheClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithBackOff(func() backoff.BackOff { return &panicsInReset{} })).connect()
		w.sleep(time.Minute)
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Minute)
		require.Equal(t, wechatws.StateFailed, c.State())
		requirePanic(t, "oops", c.lastChange().Err)

		c = w.client(wechatws.WithBackOff(func() backoff.BackOff { return nil }))
		var oe *wechatws.OptionError
		require.ErrorAs(t, c.Connect(t.Context()), &oe)
		require.Equal(t, "WithBackOff", oe.Option)
	})
}

// A nil option is an error, as it is for New.
func TestANilSendOptionIsAnError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		match := func(wechatws.Message) bool { return true }
		for verb, send := range map[string]func() error{
			"Send":          func() error { return c.Send(t.Context(), "x", wechatws.FailFast(), nil) },
			"Request":       func() error { _, err := c.Request(t.Context(), "x", match, nil); return err },
			"SendConfirmed": func() error { _, err := c.SendConfirmed(t.Context(), "x", match, nil); return err },
		} {
			var oe *wechatws.OptionError
			require.ErrorAs(t, send(), &oe, verb)
			require.Equal(t, verb, oe.Option)
		}
		c.flush()
		require.Empty(t, received(w.conn()))
		c.close()
	})
}
