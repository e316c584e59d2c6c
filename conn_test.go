package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// A limitedConn takes so many bytes. Then a write blocks until Close.
type limitedConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
	full   chan struct{} // closed when a write blocks

	mu   sync.Mutex // guards the field below
	left int
}

func (c *limitedConn) limit(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = n
}

func (c *limitedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.Conn.Write(p[:min(len(p), c.left)])
	c.left -= n
	if n == len(p) || err != nil {
		return n, err
	}
	close(c.full)
	<-c.closed
	return n, net.ErrClosed
}

func (c *limitedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A connection that is cut at any byte loses no message, and none is sent again that the peer could
// read. Over TLS it can read no part of a record.
func TestACutAtAnyByte(t *testing.T) {
	for name, dialer := range map[string]wechatws.Option{
		"own":    nil,
		"coder":  wechatws.WithDialer(coder.Dialer{}),
		"nhooyr": wechatws.WithDialer(nhooyr.Dialer{}),
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", name, secure), func(t *testing.T) {
				t.Parallel()
				for range 5 {
					cutAt(t, secure, 1+rand.IntN(100_000), dialer)
				}
			})
		}
	}
}

func cutAt(t *testing.T, secure bool, n int, dialer wechatws.Option) {
	var first *limitedConn
	options := append(quiet(), wechatws.WithProxy(nil), wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}),
		wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil && first == nil {
				first = &limitedConn{Conn: c, left: math.MaxInt, full: make(chan struct{}), closed: make(chan struct{})}
				return first, nil
			}
			return c, err
		}))
	var with []wstest.Option
	if secure {
		with = append(with, wstest.WithTLS())
	}
	srv := wstest.NewServer(with...)
	defer srv.Close()
	if secure {
		options = append(options, wechatws.WithTLSConfig(srv.ClientTLS()))
	}
	if dialer != nil {
		options = append(options, dialer)
	}
	c, err := wechatws.New(srv.URL(), options...)
	require.NoError(t, err)
	require.NoError(t, c.Connect(t.Context()))
	conn, err := srv.NextConn(t.Context())
	require.NoError(t, err)
	first.limit(n)
	var want []string
	for i := range 250 {
		want = append(want, fmt.Sprintf("%04d%s", i, strings.Repeat("x", rand.IntN(1000))))
		require.NoError(t, c.Send(t.Context(), wechatws.Text(want[i])))
	}
	<-first.full
	require.NoError(t, c.Disconnect(1, errors.New("cut")))
	require.NoError(t, c.Flush(t.Context()))
	require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	<-c.Done()
	<-conn.Done()
	got := received(conn)
	conn, err = srv.NextConn(t.Context())
	require.NoError(t, err)
	<-conn.Done()
	got = append(got, received(conn)...)
	require.True(t, slices.Equal(want, got), "with a cut after %d bytes: %d messages instead of %d", n, len(got), len(want))
}

// A peer that takes a large message slowly, and sends nothing meanwhile, is alive, also when the
// message is written.
func TestASlowPeerIsNotSilent(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithoutHeartbeat()).connect()
		w.conn().ReadSlowly(10_000)
		c.send(strings.Repeat("x", 300_000))
		w.sleep(time.Minute)
		require.Empty(t, c.ends())
		c.close()
	})
}

// A message that the peer refuses while it is being written is dropped over each transport, and does
// not end one connection after the other.
func TestAMessageIsRefusedOverEachTransport(t *testing.T) {
	for name, dialer := range map[string]wechatws.Option{
		"coder":  wechatws.WithDialer(coder.Dialer{}),
		"nhooyr": wechatws.WithDialer(nhooyr.Dialer{}),
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), dialer)...)
				big := strings.Repeat("x", 1<<20)
				c.send(big, "1", "2", "3")
				refused := w.refuseHalf(2)
				c.connect()
				refused()
				conn := w.conn()
				w.sleep(time.Second)
				require.Len(t, received(conn), 3)
				require.Equal(t, []string{"1", "2", "3"}, received(conn))
				require.True(t, slices.Equal([]string{big}, c.refused()))
				c.close()
			})
		})
	}
}

// The close frame of a peer is answered while the writer that has failed still calls a trace
// function. There are never two writers.
func TestACloseFrameBehindAFailedWrite(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn := &limitedConn{left: math.MaxInt, full: make(chan struct{}), closed: make(chan struct{})}
		c := w.client(append(quiet(),
			wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				var err error
				conn.Conn, err = w.net.DialContext(ctx, network, addr)
				return conn, err
			}),
			wechatws.WithTrace(wechatws.Trace{MessageSent: func(context.Context, wechatws.MessageInfo) {
				time.Sleep(100 * time.Millisecond)
			}}))...)
		c.AfterConnect(time.Minute, func(context.Context, *wechatws.Setup) error {
			conn.limit(10)
			return nil
		})
		c.send("1", "2")
		c.connect()
		peer := w.conn()
		<-conn.full
		conn.once.Do(func() { close(conn.closed) }) // the write fails
		w.sleep(50 * time.Millisecond)
		go func() { _ = peer.Close(int(wechatws.StatusPolicyViolation), "no") }()
		w.sleep(time.Minute - time.Second)
		require.Equal(t, wechatws.StatusPolicyViolation, c.ends()[0].Code)
		_ = c.CloseNow() // the second message is left
		<-c.Done()
	})
}

// A growing is small when it is encoded first, and large after that.
type growing struct{ encoded *atomic.Int32 }

func (g growing) MarshalText() ([]byte, error) {
	if g.encoded.Add(1) == 1 {
		return nil, nil
	}
	return make([]byte, 1<<20), nil
}

// Send does not block, even if the message has become too large for the socket when it is written.
func TestSendDoesNotWaitForALateEncoding(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithoutHeartbeat()).connect()
		w.conn().StopReading()
		w.sleep(time.Second)
		began := w.since()
		require.NoError(t, c.Send(t.Context(), growing{new(atomic.Int32)}, wechatws.EncodeOnWrite()))
		require.Equal(t, began, w.since())
		_ = c.CloseNow()
		<-c.Done()
	})
}

// The close frame of a peer is the cause of the end also if a write has failed while the inbox was
// full.
func TestACloseFrameBehindAFullInbox(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn := &limitedConn{left: math.MaxInt, full: make(chan struct{}), closed: make(chan struct{})}
		c := w.client(append(quiet(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			var err error
			conn.Conn, err = w.net.DialContext(ctx, network, addr)
			return conn, err
		}))...)
		release := make(chan struct{})
		c.OnMessage(func(context.Context, wechatws.Message) { <-release })
		c.connect()
		peer := w.conn()
		require.NoError(t, peer.WriteRaw([]byte(strings.Repeat(frame(fin|1, `{"msg_type":"x"}`), 3000)+frame(fin|8, "\x03\xf0"))))
		w.sleep(time.Second)
		conn.limit(0)
		c.send("1")
		<-conn.full
		conn.once.Do(func() { close(conn.closed) }) // the write fails
		w.sleep(2 * time.Second)
		close(release)
		w.sleep(0)
		require.Equal(t, wechatws.StatusPolicyViolation, c.lastClose().Code)
		_ = c.CloseNow()
		<-c.Done()
	})
}

// What has arrived before a write fails reaches the callbacks, and its close frame is the cause of
// the end, although the inbox is full.
func TestNothingThatHasArrivedIsLost(t *testing.T) {
	const n = 8000
	closed := make(chan struct{})
	url := rawServer(t, func(c *net.TCPConn) {
		defer close(closed)
		_, _ = c.Write([]byte(strings.Repeat(frame(fin|1, `{"msg_type":"x"}`), n) + frame(fin|8, "\x03\xf0banned")))
		_ = c.SetLinger(10) // Close returns when the client's socket has all of it
		_ = c.Close()
	})
	ended := make(chan struct{})
	c, err := wechatws.New(url, append(quiet(), wechatws.WithoutReconnect(),
		wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				err = c.(*net.TCPConn).SetReadBuffer(4 << 20)
			}
			return c, err
		}),
		wechatws.WithTrace(wechatws.Trace{Close: func(context.Context, wechatws.CloseEvent) { close(ended) }}))...)
	require.NoError(t, err)
	var end wechatws.CloseEvent
	handled := 0
	wechatws.On(c, "x", func(context.Context, struct{}) {
		<-ended
		handled++
	})
	c.OnClose(func(_ context.Context, e wechatws.CloseEvent) { end = e })
	require.NoError(t, c.Connect(t.Context()))
	<-closed
	for c.State() == wechatws.StateOpen { // until a write fails
		_ = c.Send(t.Context(), wechatws.Text("x"))
		time.Sleep(time.Millisecond)
	}
	<-c.Done()
	require.Equal(t, n, handled)
	require.Equal(t, wechatws.StatusPolicyViolation, end.Code)
	_ = c.CloseNow()
}

// A match function keeps the reader from what has arrived for longer than a failed write leaves it.
func TestACloseFrameBehindASlowMatch(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn := &limitedConn{left: math.MaxInt, full: make(chan struct{}), closed: make(chan struct{})}
		c := w.client(append(quiet(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			var err error
			conn.Conn, err = w.net.DialContext(ctx, network, addr)
			return conn, err
		}))...)
		c.connect()
		peer := w.conn()
		result := make(chan error, 1)
		go func() {
			_, err := c.Request(t.Context(), wechatws.Text("ask"), func(wechatws.Message) bool { time.Sleep(5 * time.Second); return true })
			result <- err
		}()
		w.sleep(time.Second)
		require.NoError(t, peer.WriteRaw([]byte(frame(fin|1, `{"msg_type":"x"}`)+frame(fin|8, "\x03\xf0"))))
		w.sleep(time.Second)
		conn.limit(0)
		c.send("1")
		<-conn.full
		conn.once.Do(func() { close(conn.closed) }) // the write fails
		require.NoError(t, <-result)
		w.sleep(0)
		require.Equal(t, wechatws.StatusPolicyViolation, c.lastClose().Code)
		_ = c.CloseNow()
		<-c.Done()
	})
}

// A trace function that takes its time when the connection is open does not use up the time that a
// failed write leaves for the close frame.
func TestACloseFrameBehindASlowTraceFunction(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn := &limitedConn{left: math.MaxInt, full: make(chan struct{}), closed: make(chan struct{})}
		slow := func(context.Context, wechatws.OpenEvent) {
			require.NoError(t, w.conn().WriteRaw([]byte(frame(fin|1, `{"msg_type":"x"}`)+frame(fin|8, "\x03\xf0"))))
			conn.once.Do(func() { close(conn.closed) }) // a write fails
			time.Sleep(5 * time.Second)
		}
		c := w.client(append(quiet(), wechatws.WithTrace(wechatws.Trace{Open: slow}), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			var err error
			conn.Conn, err = w.net.DialContext(ctx, network, addr)
			return conn, err
		}))...)
		c.AfterConnect(time.Second, func(context.Context, *wechatws.Setup) error { conn.limit(0); return nil })
		c.send("1")
		c.connect()
		w.sleep(7 * time.Second)
		require.Equal(t, wechatws.StatusPolicyViolation, c.lastClose().Code)
		_ = c.CloseNow()
		<-c.Done()
	})
}
