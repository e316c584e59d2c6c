package wechatws_test

import (
	"context"
	"math"
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

// A pong has the payload of its ping, also if more has been read before it is written.
func TestPongsThatWaitForTheWriter(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTrace(wechatws.Trace{
			MessageSent: func(context.Context, wechatws.MessageInfo) { time.Sleep(time.Second) },
		}))...).connect()
		conn := w.conn()
		go c.send("1") // the trace function holds the writer up
		w.sleep(time.Millisecond)
		var answered atomic.Int32
		for range 3 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if conn.Ping(ctx) == nil { // it has the payload
					answered.Add(1)
				}
			}()
			w.sleep(time.Millisecond)
		}
		w.sleep(2 * time.Second)
		require.EqualValues(t, 3, answered.Load())
		c.close()
	})
}

// connLimited returns the options of a client whose n-th network connection can be limited, and that
// connection.
func (w *world) connLimited(n int) (*limitedConn, []wechatws.Option) {
	conn, dials := &limitedConn{left: math.MaxInt, full: make(chan struct{}), closed: make(chan struct{})}, 0
	return conn, append(quiet(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := w.net.DialContext(ctx, network, addr)
		if dials++; dials != n || err != nil {
			return c, err
		}
		conn.Conn = c
		return conn, nil
	}))
}

// fail makes the write that waits fail.
func (c *limitedConn) fail() { c.once.Do(func() { close(c.closed) }) }

// After a failed write, messages that do not wait are refused at once, and not only when the
// connection has ended.
func TestFailFastAfterAFailedWrite(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn, options := w.connLimited(1)
		c := w.client(options...).connect()
		conn.limit(0)
		c.send("1")
		<-conn.full
		conn.fail()
		w.sleep(0)
		before := w.since()
		require.ErrorIs(t, c.Send(t.Context(), wechatws.Text("2"), wechatws.FailFast()), wechatws.ErrNotOpen)
		require.Equal(t, before, w.since())
		_ = c.CloseNow() // the first one is left
		<-c.Done()
	})
}

// A message of which the peer has not got a byte when it refuses another one is not suspected.
func TestAMessageBehindTheOneThatIsRefusedIsNotSuspected(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn, options := w.connLimited(1)
		c := w.client(append(options, wechatws.WithTiers(wechatws.Tier{Delay: time.Second}))...)
		c.AfterConnect(time.Minute, func(context.Context, *wechatws.Setup) error {
			conn.limit(2 + 4 + len("one"))
			return nil
		})
		c.send("one", "two")
		c.connect()
		peer := w.conn()
		<-conn.full
		go func() { _ = peer.Close(int(wechatws.StatusMessageTooBig), "") }()
		w.sleep(100 * time.Millisecond)
		conn.fail()
		next := w.conn()
		w.sleep(500 * time.Millisecond) // a suspect waits for a second
		require.Equal(t, []string{"two"}, received(next))
		c.close()
	})
}

// A suspect whose connection has failed before anything of it was written delays the queue of no
// further connection.
func TestASuspectThatWasNotWritten(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn, options := w.connLimited(2)
		c := w.client(append(options, wechatws.WithTiers(wechatws.Tier{Delay: time.Second}))...)
		big := strings.Repeat("x", 1<<20)
		c.send(big)
		refused := w.refuseHalf(1)
		c.AfterConnect(time.Minute, func(_ context.Context, o *wechatws.Setup) error {
			if o.Connection == 2 {
				conn.limit(0)
			}
			return nil
		})
		c.connect()
		refused()
		w.conn()
		<-conn.full // its trial
		conn.fail()
		last := w.conn()
		w.sleep(500 * time.Millisecond)
		require.Len(t, received(last), 1)
		require.Empty(t, c.errors())
		c.close()
	})
}

// A blockedConn is a connection of a user's Dialer whose Write blocks.
type blockedConn struct {
	transport.Conn
	release chan struct{}
}

func (c blockedConn) Write(typ transport.MessageType, p []byte) error {
	<-c.release
	return c.Conn.Write(typ, p)
}

type blockedDialer struct {
	transport.Dialer
	release chan struct{}
}

func (d blockedDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	conn, resp, err := d.Dialer.Dial(ctx, h)
	return blockedConn{conn, d.release}, resp, err
}

// A message that is handed back while a user's function still writes it does not count as written.
func TestAMessageThatIsHandedBackIsNotCounted(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		c := w.client(append(quiet(), wechatws.WithDialer(blockedDialer{coder.Dialer{}, release}))...).connect()
		w.conn()
		c.send("1")
		w.sleep(0)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.CloseNow(), &left)
		require.Len(t, left.Messages, 1)
		close(release)
		<-c.Done()
		require.Zero(t, c.Stats().MessagesOut)
	})
}

// Of a batch that a user's connection writes when the client ends, what it has written is not handed
// back.
func TestWhatAUsersConnHasWrittenIsNotHandedBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		c := w.client(append(quiet(), wechatws.WithDialer(blockedDialer{coder.Dialer{}, release}))...)
		c.send("1", "2", "3")
		c.connect()
		release <- struct{}{}
		w.sleep(0)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.CloseNow(), &left)
		require.Equal(t, []string{"2", "3"}, outgoing(left.Messages))
		close(release)
		<-c.Done()
	})
}
