package wechatws_test

import (
	"context"
	"math"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"
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
		c.send("one", "two", "three")
		c.connect()
		peer := w.conn()
		<-conn.full
		go func() { _ = peer.Close(int(wechatws.StatusMessageTooBig), "") }()
		w.sleep(100 * time.Millisecond)
		conn.fail()
		next := w.conn()
		w.sleep(1500 * time.Millisecond) // a second, and another one behind a suspect
		require.Equal(t, []string{"two", "three"}, received(next))
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

// A goexitConn is a connection of a user's Dialer whose Write ends its goroutine, once.
type goexitConn struct {
	transport.Conn
	ended *atomic.Bool
}

func (c goexitConn) Write(typ transport.MessageType, p []byte) error {
	if !c.ended.Swap(true) {
		runtime.Goexit()
	}
	return c.Conn.Write(typ, p)
}

type goexitDialer struct {
	transport.Dialer
	ended atomic.Bool
}

func (d *goexitDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	conn, resp, err := d.Dialer.Dial(ctx, h)
	return goexitConn{conn, &d.ended}, resp, err
}

// A message whose writer ends in a method of the connection is written on the next one.
func TestAMessageWhoseWriteEndsItsGoroutine(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithDialer(&goexitDialer{Dialer: coder.Dialer{}}))...).connect()
		w.conn()
		c.send("1")
		next := w.conn()
		w.sleep(time.Second)
		require.Equal(t, []string{"1"}, received(next))
		c.close()
	})
}

// A trace function that ends the goroutine that writes, which may be the sender's, stops no message.
// The socket is a real one, since a sender writes to no other.
func TestATraceFunctionThatEndsTheWriter(t *testing.T) {
	s := wstest.NewServer()
	defer s.Close()
	c, err := wechatws.New(s.URL(), append(quiet(), wechatws.WithProxy(nil), wechatws.WithTrace(wechatws.Trace{
		MessageSent: func(context.Context, wechatws.MessageInfo) { runtime.Goexit() },
	}))...)
	require.NoError(t, err)
	require.NoError(t, c.Connect(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := s.NextConn(ctx)
	require.NoError(t, err)
	for _, text := range []string{"1", "2", "3"} {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = c.Send(ctx, wechatws.Text(text))
		}()
		<-ended
		m, err := conn.Receive(ctx)
		require.NoError(t, err)
		require.Equal(t, text, m.Text())
	}
	require.NoError(t, c.CloseNow())
	<-c.Done()
}

// A message that is accepted while a sender writes, and is in a trace function, is written after that.
func TestAMessageWhileASenderWrites(t *testing.T) {
	s := wstest.NewServer()
	defer s.Close()
	writing, release := make(chan struct{}), make(chan struct{})
	held := sync.OnceFunc(func() { close(writing); <-release })
	c, err := wechatws.New(s.URL(), append(quiet(), wechatws.WithProxy(nil), wechatws.WithTrace(wechatws.Trace{
		MessageSent: func(context.Context, wechatws.MessageInfo) { held() },
	}))...)
	require.NoError(t, err)
	require.NoError(t, c.Connect(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := s.NextConn(ctx)
	require.NoError(t, err)
	go func() { _ = c.Send(ctx, wechatws.Text("1")) }()
	<-writing
	require.NoError(t, c.Send(ctx, wechatws.Text("2")))
	close(release)
	for range 2 {
		_, err := conn.Receive(ctx)
		require.NoError(t, err)
	}
	require.NoError(t, c.CloseNow())
	<-c.Done()
}

// A write that has failed ends the connection, also if a trace function ends the writer. The trace
// functions are called for what was written.
func TestTraceOfAWriteThatHasFailed(t *testing.T) {
	for name, end := range map[string]func(){"returns": func() {}, "ends the writer": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				conn, options := w.connLimited(1)
				var sent atomic.Int32
				c := w.client(append(options, wechatws.WithTiers(wechatws.Tier{Delay: time.Second}), wechatws.WithTrace(wechatws.Trace{
					MessageSent: func(context.Context, wechatws.MessageInfo) { sent.Add(1); end() },
				}))...)
				c.AfterConnect(time.Minute, func(context.Context, *wechatws.Setup) error {
					conn.limit(2 + 4 + len("one"))
					return nil
				})
				c.send("one", "two")
				c.connect()
				w.conn()
				<-conn.full
				conn.fail()
				next := w.conn()
				w.sleep(time.Second)
				require.Equal(t, []string{"two"}, received(next))
				require.EqualValues(t, 2, sent.Load())
				c.close()
			})
		})
	}
}

// A stuckText is a message whose encoding blocks when it is written.
type stuckText struct {
	encoded *atomic.Int32
	release chan struct{}
}

func (s stuckText) MarshalJSON() ([]byte, error) {
	n := s.encoded.Add(1)
	if n > 1 {
		<-s.release
	}
	return strconv.AppendInt(nil, int64(n), 10), nil
}

// Close does not wait for a user's function on the writer's goroutine, once the close frame is given
// up.
func TestCloseDoesNotWaitForAnEncoding(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithDrainTimeout(0))...).connect()
		w.conn()
		message := stuckText{new(atomic.Int32), make(chan struct{})}
		require.NoError(t, c.Send(t.Context(), message, wechatws.EncodeOnWrite()))
		w.sleep(0)
		require.EqualValues(t, 2, message.encoded.Load())
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
		require.Less(t, w.since(), 2*time.Second)
		close(message.release)
		<-c.Done()
		require.Equal(t, []string{"1"}, outgoing(left.Messages))
	})
}

// An idle connection retains nothing of what it has written.
func TestWrittenMessagesAreNotRetained(t *testing.T) {
	for _, size := range []int{1000, 10_000} { // written by the sender, and by the writer
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(quiet()...).connect()
			send := func() weak.Pointer[byte] {
				data := strings.Repeat("x", size)
				require.NoError(t, c.Send(t.Context(), wechatws.Text(data))) // it is not copied
				return weak.Make(unsafe.StringData(data))
			}
			data := send()
			w.sleep(time.Second)
			runtime.GC()
			require.Nil(t, data.Value(), size)
			c.close()
		})
	}
}
