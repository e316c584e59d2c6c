package wechatws_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// seal and unseal stand for encryption.
func seal(p []byte) []byte { return append([]byte("sealed "), p...) }

// A sealingDialer embeds another Dialer, and its connections seal each message.
type sealingDialer struct{ transport.Dialer }

func (d sealingDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	conn, resp, err := d.Dialer.Dial(ctx, h)
	if err == nil {
		conn = sealingConn{conn}
	}
	return conn, resp, err
}

type sealingConn struct{ transport.Conn }

func (c sealingConn) Write(t transport.MessageType, p []byte) error { return c.Conn.Write(t, seal(p)) }

func (c sealingConn) Reader() (transport.MessageType, io.Reader, error) {
	typ, r, err := c.Conn.Reader()
	if err != nil {
		return 0, nil, err
	}
	p, err := io.ReadAll(r)
	return typ, bytes.NewReader(bytes.TrimPrefix(p, seal(nil))), err
}

// Every message is read from and written to a connection of a user's Dialer, also if it wraps
// one of the library's.
func TestEveryMessagePassesAUsersConn(t *testing.T) {
	for name, dialer := range map[string]transport.Dialer{
		"coder":    sealingDialer{coder.Dialer{}},
		"nhooyr":   sealingDialer{nhooyr.Dialer{}},
		"own wire": ownDialer{},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				if name == "own wire" {
					dialer = sealingDialer{ownDialer{w.net}}
				}
				w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
					_ = conn.Send(string(m.Data))
					_ = conn.Send(string(m.Data))
				})
				c := w.client(wechatws.WithDialer(dialer), wechatws.WithLoginMessage("login")).record().connect()
				conn := w.conn()
				c.send(numbers(1, 100)...)
				w.sleep(10 * time.Second)
				for _, m := range received(conn) {
					require.True(t, strings.HasPrefix(m, "sealed "), m)
				}
				require.GreaterOrEqual(t, len(received(conn)), 101+3, "heartbeats too")
				require.Len(t, c.texts(), 2*len(received(conn)))
				for _, m := range c.texts() {
					require.False(t, strings.HasPrefix(m, "sealed "), m)
				}
				require.Equal(t, 1, c.Stats().Opens)
				c.close()
			})
		})
	}
}

// A countingBody counts what a WebSocket library reads and writes.
type countingBody struct {
	io.ReadWriteCloser
	read, written *atomic.Int64
}

func (b countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadWriteCloser.Read(p)
	b.read.Add(int64(n))
	return n, err
}

func (b countingBody) Write(p []byte) (int, error) {
	n, err := b.ReadWriteCloser.Write(p)
	b.written.Add(int64(n))
	return n, err
}

// A countingDialer counts below the library instead of above it.
type countingDialer struct{ read, written atomic.Int64 }

func (d *countingDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	client, below := *h.Client, h.Client.Transport
	client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := below.RoundTrip(r)
		if err == nil {
			if body, ok := resp.Body.(io.ReadWriteCloser); ok {
				resp.Body = countingBody{body, &d.read, &d.written}
			}
		}
		return resp, err
	})
	h.Client = &client
	return coder.Dialer{}.Dial(ctx, h)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The same for a user's transport below the library's connection.
func TestEveryBytePassesAUsersTransport(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var d countingDialer
		c := w.client(append(quiet(), wechatws.WithDialer(&d))...).record().connect()
		conn := w.conn()
		for i := range int64(100) {
			c.send(strings.Repeat("x", 100))
			require.NoError(t, conn.Send(strings.Repeat("x", 100)))
			w.sleep(time.Millisecond)
			require.EqualValues(t, 106*(i+1), d.written.Load())
			require.EqualValues(t, 102*(i+1), d.read.Load())
		}
		c.close()
	})
}

// A countingNetConn embeds a socket, as wrappers often do to keep its other methods.
type countingNetConn struct {
	*net.TCPConn
	written *atomic.Int64
}

func (c countingNetConn) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p))) // first: the peer may answer before Write returns
	return c.TCPConn.Write(p)
}

// Every byte passes a network connection of the user, although a lone message is written
// directly to a socket of the standard library.
func TestEveryBytePassesAUsersNetConn(t *testing.T) {
	srv := wstest.NewServer()
	defer srv.Close()
	var written atomic.Int64
	c, err := wechatws.New(srv.URL(), append(quiet(), wechatws.WithProxy(nil), wechatws.WithNetDial(
		func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return countingNetConn{conn.(*net.TCPConn), &written}, nil
		}))...)
	require.NoError(t, err)
	require.NoError(t, c.Connect(t.Context()))
	handshake := written.Load()
	for i := range int64(20) {
		require.NoError(t, c.Send(t.Context(), wechatws.Text(strings.Repeat("x", 100))))
		require.NoError(t, c.Flush(t.Context()))
		require.Equal(t, handshake+106*(i+1), written.Load())
	}
	require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
}

// A slowConn takes a second to close after its reader has returned the end.
type slowConn struct {
	transport.Conn
	closing atomic.Bool
	open    *atomic.Int32
}

// ended returns at once for the second caller, as a library's CloseNow does.
func (c *slowConn) ended() {
	if !c.closing.Swap(true) {
		time.Sleep(time.Second)
		c.open.Add(-1)
	}
}

func (c *slowConn) CloseNow() error {
	err := c.Conn.CloseNow()
	c.ended()
	return err
}

func (c *slowConn) Close(code int, reason string) error {
	err := c.Conn.Close(code, reason)
	c.ended()
	return err
}

type slowDialer struct {
	ownDialer
	open, most atomic.Int32
}

func (d *slowDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	d.most.Store(max(d.most.Load(), d.open.Add(1)))
	conn, resp, err := d.ownDialer.Dial(ctx, h)
	return &slowConn{Conn: conn, open: &d.open}, resp, err
}

// The next connection is not made before the one before is closed, by whichever call.
func TestTheNextConnectionWaitsForTheEndOfTheOneBefore(t *testing.T) {
	for name, end := range map[string]func(c *client) error{
		"Reconnect": func(c *client) error { return c.Reconnect() },
		"Drop":      func(c *client) error { return c.Disconnect(1, io.EOF) },
		"Close":     func(c *client) error { return c.Close(wechatws.StatusNormalClosure, "") },
		"CloseNow":  func(c *client) error { return c.CloseNow() },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				d := &slowDialer{ownDialer: ownDialer{w.net}}
				c := w.client(append(quiet(), wechatws.WithDialer(d), wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}))...).connect()
				go func() { _ = end(c) }()
				w.sleep(time.Millisecond)
				if strings.HasPrefix(name, "Close") {
					c.connect()
				}
				w.sleep(time.Minute)
				require.Equal(t, wechatws.StateOpen, c.State())
				require.EqualValues(t, 1, d.most.Load())
				c.close()
				require.Zero(t, d.open.Load())
			})
		})
	}
}

// ownDialer makes its own network connections, which the client does not see.
type ownDialer struct{ net *wstest.Network }

func (d ownDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	h.Client = &http.Client{Transport: &http.Transport{DialContext: d.net.DialContext, DisableKeepAlives: true}}
	return coder.Dialer{}.Dial(ctx, h)
}

func TestADialerWithItsOwnConnections(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithDialer(ownDialer{w.net}), wechatws.WithLoginMessage("login"), wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Minute})).record()
		c.send(numbers(1, 10)...)
		c.connect()
		c.flush()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(5 * time.Minute)
		assert.Equal(t, append([]string{`"login"`}, numbers(1, 10)...), received(conn)[:11])
		assert.Equal(t, []string{`{"msg_type":"x"}`}, c.texts())
		assert.Equal(t, 1, c.Stats().Opens, "pongs are life")

		conn.IgnorePings(true)
		for range 5 { // below six timeouts
			require.NoError(t, conn.Send(`{"msg_type":"x"}`))
			w.sleep(9 * time.Second)
		}
		assert.Equal(t, 1, c.Stats().Opens, "and so are messages")
		w.sleep(2 * time.Second)
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
		w.sleep(3 * time.Second)
		w.conn()

		require.NoError(t, c.Reconnect())
		w.sleep(0)
		conn = w.conn()
		conn.Cut(wstest.RST)
		w.sleep(3 * time.Second)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
		assert.Zero(t, w.net.Clients())
		assert.Equal(t, 1, w.net.MaxClients())
	})
}
