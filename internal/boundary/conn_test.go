package boundary

import (
	"context"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/ws"
	"github.com/wechatws/wechatws/transport"
)

// A fakeConn calls its functions; without one, a method succeeds.
type fakeConn struct {
	reader             func() (transport.MessageType, io.Reader, error)
	write              func(t transport.MessageType, p []byte) error
	ping, close, abort func() error
}

func (c *fakeConn) Reader() (transport.MessageType, io.Reader, error) { return c.reader() }
func (c *fakeConn) Write(t transport.MessageType, p []byte) error     { return c.write(t, p) }
func (c *fakeConn) Ping(context.Context) error                        { return call(c.ping) }
func (c *fakeConn) Close(int, string) error                           { return call(c.close) }
func (c *fakeConn) CloseNow() error                                   { return call(c.abort) }
func (c *fakeConn) Subprotocol() string                               { return "chat" }

func call(fn func() error) error {
	if fn == nil {
		return nil
	}
	return fn()
}

func reading(r io.Reader, err error) *fakeConn {
	return &fakeConn{reader: func() (transport.MessageType, io.Reader, error) { return transport.TextMessage, r, err }}
}

func receive(c *fakeConn, limit int64) (string, error) {
	conn := users.Conn(c)
	conn.ReadLimit = limit
	b, err := conn.Receive()
	if err != nil {
		return "", err
	}
	return string(b.Messages[0].Data), nil
}

func TestReceive(t *testing.T) {
	got, err := receive(reading(iotest.OneByteReader(strings.NewReader("hello")), nil), 5)
	require.NoError(t, err)
	assert.Equal(t, "hello", got)
	got, err = receive(reading(strings.NewReader("hello"), nil), math.MaxInt64)
	require.NoError(t, err)
	assert.Equal(t, "hello", got)

	for name, tt := range map[string]struct {
		conn *fakeConn
		want error
	}{
		"a large message": {reading(strings.NewReader("hello!"), nil), &ws.LimitError{Limit: 5}},
		"a close frame":   {reading(nil, &transport.CloseError{Code: 4001, Reason: "bye"}), &ws.CloseError{Code: 4001, Reason: "bye"}},
		"no reader":       {reading(nil, nil), errNoReader},
		"an error":        {reading(nil, errOops), errOops},
		"an error inside": {reading(iotest.ErrReader(errOops), nil), errOops},
	} {
		_, err := receive(tt.conn, 5)
		assert.Equal(t, tt.want, err, name)
	}
	_, err = receive(reading(countReader(-1), nil), 5)
	assert.ErrorContains(t, err, "invalid count")
}

type countReader int

func (r countReader) Read([]byte) (int, error) { return int(r), nil }

type readerFunc func() (int, error)

func (r readerFunc) Read([]byte) (int, error) { return r() }

func TestPartial(t *testing.T) {
	var c *Conn
	var inside bool
	c = users.Conn(reading(readerFunc(func() (int, error) { inside = c.Partial(); return 0, io.EOF }), nil))
	_, err := c.Receive()
	require.NoError(t, err)
	assert.True(t, inside)
	assert.False(t, c.Partial())
}

func TestWritesAreCounted(t *testing.T) {
	var wrote []string
	var err error
	c := users.Conn(&fakeConn{write: func(typ transport.MessageType, p []byte) error {
		wrote = append(wrote, map[transport.MessageType]string{transport.TextMessage: "text ", transport.BinaryMessage: "binary "}[typ]+string(p))
		return err
	}})
	require.NoError(t, c.AppendMessage(true, []byte("a")))
	require.NoError(t, c.AppendMessage(false, []byte("b")))
	err = errOops
	require.Equal(t, errOops, c.AppendMessage(true, []byte("c")))
	assert.Equal(t, []string{"text a", "binary b", "text c"}, wrote)
	assert.EqualValues(t, 6, c.Appended())
	assert.EqualValues(t, 5, c.Written(), "the third one was begun")
	assert.EqualValues(t, 5, c.Seal())
	require.Equal(t, net.ErrClosed, c.AppendMessage(true, []byte("d")))
	assert.EqualValues(t, 6, c.Appended())
	assert.Len(t, wrote, 3)
}

func TestThePanicOfAConnIsItsFault(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("wrong") }, "runtime.Goexit": runtime.Goexit} {
		failing := func() error { fail(); return nil }
		conn := &fakeConn{
			reader: func() (transport.MessageType, io.Reader, error) { fail(); return 0, nil, nil },
			write:  func(transport.MessageType, []byte) error { return failing() },
			ping:   failing, close: failing, abort: failing,
		}
		for method, call := range map[string]func(*Conn) error{
			"Reader":   func(c *Conn) error { _, err := c.Receive(); return err },
			"Write":    func(c *Conn) error { return c.AppendMessage(true, nil) },
			"Ping":     func(c *Conn) error { return c.AppendPing(nil) },
			"Close":    func(c *Conn) error { return c.AppendClose(1000, "") },
			"CloseNow": func(c *Conn) error { c.Abort(); return nil },
		} {
			t.Run(method+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := users.Conn(conn)
					c.OnPong = func([]byte) { t.Error("a pong") }
					var reported []error
					c.Live(func(err error) { reported = append(reported, err) })
					go func() { _ = call(c) }()
					synctest.Wait()
					require.Len(t, reported, 1)
					assert.Equal(t, reported[0], c.Err())
					c.gate.under.Wait()
				})
			})
		}
	}
}

func TestAPongIsASignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		c := users.Conn(&fakeConn{ping: func() error { time.Sleep(time.Second); return err }})
		var pongs []string
		c.OnPong = func(p []byte) { pongs = append(pongs, string(p)) }
		began := time.Now()
		require.NoError(t, c.AppendPing([]byte("1")))
		assert.Equal(t, began, time.Now(), "it does not block")
		assert.Equal(t, began, c.LastHeard())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"1"}, pongs)
		assert.Equal(t, began.Add(time.Second), c.LastHeard())
		err = errOops
		require.NoError(t, c.AppendPing([]byte("2")))
		c.End()
		assert.Len(t, pongs, 1)
		assert.Equal(t, began.Add(time.Second), c.LastHeard())
	})
}

func TestEndWaitsForTheMethodsOfAConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		slow := func(name string, d time.Duration) func() error {
			return func() error { calls = append(calls, name); time.Sleep(d); return nil }
		}
		c := users.Conn(&fakeConn{
			ping: slow("ping", 0), close: slow("close", 3*time.Second), abort: slow("abort", 2*time.Second),
		})
		began := time.Now()
		require.NoError(t, c.AppendClose(1000, ""))
		synctest.Wait()
		c.Abort()
		c.Abort()
		assert.Equal(t, began, time.Now(), "Abort does not block")
		require.NoError(t, c.AppendPing(nil))
		require.NoError(t, c.AppendClose(1000, ""))
		c.End()
		assert.Equal(t, began.Add(3*time.Second), time.Now())
		assert.Equal(t, []string{"close", "abort"}, calls)
	})
}
