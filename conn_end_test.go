package wechatws_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
)

// A stuckConn is a network connection whose Write and Close block until it is released.
type stuckConn struct {
	net.Conn
	stuck   atomic.Bool
	release chan struct{}
	writes  atomic.Int32
}

func (c *stuckConn) Write(p []byte) (int, error) {
	if c.stuck.Load() {
		c.writes.Add(1)
		<-c.release
	}
	return c.Conn.Write(p)
}

func (c *stuckConn) Close() error {
	if c.stuck.Load() {
		<-c.release
	}
	return c.Conn.Close()
}

// A connection that has ended writes nothing more, although a user's Close has not returned yet.
func TestNothingIsWrittenAfterTheEnd(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn := &stuckConn{release: make(chan struct{})}
		c := w.client(append(quiet(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			var err error
			conn.Conn, err = w.net.DialContext(ctx, network, addr)
			return conn, err
		}))...)
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			conn.stuck.Store(true)
			return o.Send(ctx, wechatws.Text(strings.Repeat("x", 1<<20)))
		})
		connected := make(chan error)
		go func() { connected <- c.Connect(t.Context()) }()
		w.sleep(time.Second)
		require.EqualValues(t, 1, conn.writes.Load())
		require.NoError(t, c.CloseNow())
		conn.release <- struct{}{} // of Write or of Close
		conn.release <- struct{}{}
		w.sleep(0)
		require.EqualValues(t, 1, conn.writes.Load())
		close(conn.release)
		require.ErrorIs(t, <-connected, wechatws.ErrClosed)
		<-c.Done()
	})
}

// An endlessDialer makes connections whose CloseNow has no effect.
type endlessDialer struct{ transport.Dialer }

func (d endlessDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	conn, resp, err := d.Dialer.Dial(ctx, h)
	return endlessConn{conn}, resp, err
}

type endlessConn struct{ transport.Conn }

func (endlessConn) CloseNow() error { return nil }

// The network connection ends also if the connection of a user's Dialer does not close it.
func TestACloseNowOfAUsersConnWithoutEffect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithDialer(endlessDialer{coder.Dialer{}}))...).connect()
		peer := w.conn()
		require.NoError(t, c.CloseNow())
		w.sleep(0)
		<-c.Done()
		<-peer.Done()
	})
}

// A close frame of the peer ends the connection also if the answer cannot be written.
func TestACloseFrameThatCannotBeAnswered(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		peer := w.conn()
		peer.StopReading()
		c.send(strings.Repeat("x", 1<<20))
		w.sleep(time.Second)
		require.NoError(t, peer.WriteRaw([]byte(frame(fin|8, "\x03\xf0"))))
		w.sleep(2 * time.Second)
		require.Len(t, c.ends(), 1)
		require.Equal(t, wechatws.StatusPolicyViolation, c.lastClose().Code)
		_ = c.CloseNow() // the message is left
		<-c.Done()
	})
}

// Invalid data ends the connection also if the peer does not.
func TestAViolatorThatKeepsTheConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		peer := w.conn()
		peer.StopReading()
		require.NoError(t, peer.WriteRaw([]byte(frame(fin|0x70|1, "x"))))
		w.sleep(2 * time.Second)
		require.Len(t, c.ends(), 1)
		require.Equal(t, wechatws.StatusProtocolError, c.lastClose().Code)
		c.close()
	})
}

// A close frame whose reason is not UTF-8 is answered as invalid data. Its code is reported.
func TestACloseReasonThatIsNotUTF8(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		peer := w.conn()
		require.NoError(t, peer.WriteRaw([]byte(frame(fin|8, "\x03\xf0\xff"))))
		<-peer.Done()
		w.sleep(time.Second)
		code, _ := peer.CloseCode()
		require.EqualValues(t, wechatws.StatusInvalidFramePayloadData, code)
		require.Equal(t, wechatws.StatusPolicyViolation, c.lastClose().Code)
		c.close()
	})
}

// Invalid data is the cause of the end, whatever else happens while it is answered.
func TestInvalidDataIsTheCause(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		peer := w.conn()
		peer.StopReading()
		require.NoError(t, peer.WriteRaw([]byte(frame(fin|0x70|1, "x"))))
		w.sleep(100 * time.Millisecond)
		require.NoError(t, c.Disconnect(1, errors.New("later")))
		w.sleep(0)
		require.ErrorIs(t, c.lastClose().Err, wechatws.ErrProtocol)
		c.close()
	})
}

// A close frame of the peer does not change one that is to be written.
func TestACloseFrameWhileOneWaits(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithDrainTimeout(0))...).connect()
		peer := w.conn()
		peer.StopReading()
		c.send(strings.Repeat("x", 1<<20))
		w.sleep(0)
		closed := make(chan error)
		go func() { closed <- c.Close(4001, "first") }()
		w.sleep(100 * time.Millisecond)
		require.NoError(t, peer.WriteRaw([]byte(frame(fin|8, "\x03\xe9"))))
		w.sleep(100 * time.Millisecond)
		peer.ResumeReading()
		require.NoError(t, <-closed)
		<-c.Done()
		w.sleep(time.Second)
		code, reason := peer.CloseCode()
		require.Equal(t, 4001, code)
		require.Equal(t, "first", reason)
	})
}
