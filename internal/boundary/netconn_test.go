package boundary

import (
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fakeNetConn calls fn in each of its methods.
type fakeNetConn struct{ fn func() (int, error) }

func (c *fakeNetConn) Read([]byte) (int, error)         { return c.fn() }
func (c *fakeNetConn) Write([]byte) (int, error)        { return c.fn() }
func (c *fakeNetConn) Close() error                     { return c.end() }
func (c *fakeNetConn) SetDeadline(time.Time) error      { return c.end() }
func (c *fakeNetConn) SetReadDeadline(time.Time) error  { return c.end() }
func (c *fakeNetConn) SetWriteDeadline(time.Time) error { return c.end() }
func (c *fakeNetConn) LocalAddr() net.Addr              { _, _ = c.fn(); return nil }
func (c *fakeNetConn) RemoteAddr() net.Addr             { _, _ = c.fn(); return nil }

func (c *fakeNetConn) end() error { _, err := c.fn(); return err }

func newNetConn(fn func() (int, error)) *NetConn {
	return users.Socket(&fakeNetConn{fn}, nil).Conn.(*NetConn)
}

// methodsOf are the methods of a NetConn, and whether they run in place when the connection is live.
var methodsOf = []struct {
	name    string
	inPlace bool
	call    func(net.Conn) error
}{
	{"Read", true, func(c net.Conn) error { _, err := c.Read(make([]byte, 3)); return err }},
	{"Write", true, func(c net.Conn) error { _, err := c.Write(make([]byte, 3)); return err }},
	{"Close", false, net.Conn.Close},
	{"SetDeadline", false, func(c net.Conn) error { return c.SetDeadline(time.Time{}) }},
	{"SetReadDeadline", false, func(c net.Conn) error { return c.SetReadDeadline(time.Time{}) }},
	{"SetWriteDeadline", true, func(c net.Conn) error { return c.SetWriteDeadline(time.Time{}) }},
	{"LocalAddr", false, func(c net.Conn) error { _ = c.LocalAddr().String(); return nil }},
	{"RemoteAddr", false, func(c net.Conn) error { _ = c.RemoteAddr().String(); return nil }},
}

func TestThePanicOfANetConnIsItsFault(t *testing.T) {
	for _, method := range methodsOf {
		for name, fn := range map[string]func() (int, error){
			"panic":          func() (int, error) { panic("wrong") },
			"runtime.Goexit": func() (int, error) { runtime.Goexit(); return 0, nil },
		} {
			t.Run(method.name+", "+name, func(t *testing.T) {
				c := newNetConn(fn)
				require.NoError(t, c.Err())
				_ = method.call(c) // on this goroutine, which goes on
				err := c.Err()
				require.ErrorContains(t, err, "panic: ")

				var reported []error
				c.Live(func(err error) { reported = append(reported, err) })
				over := make(chan bool, 1)
				go func() {
					returned := false
					defer func() { over <- returned }()
					_ = method.call(c)
					returned = true
				}()
				assert.Equal(t, name == "panic" || !method.inPlace, <-over, "the caller's goroutine goes on")
				require.Len(t, reported, 1)
				assert.ErrorContains(t, reported[0], "panic: ")
				assert.Same(t, err, c.Err(), "the first one")
				c.gate.under.Wait() // nothing is counted as being called
			})
		}
	}
}

func TestAnErrorOfANetConnIsNoFault(t *testing.T) {
	for _, method := range methodsOf[:6] {
		c := newNetConn(func() (int, error) { return 0, io.EOF })
		assert.Equal(t, io.EOF, method.call(c), method.name)
		assert.NoError(t, c.Err(), method.name)
	}
}

func TestInvalidCounts(t *testing.T) {
	for _, n := range []int{-1, 4} {
		c := newNetConn(func() (int, error) { return n, nil })
		for _, do := range []func([]byte) (int, error){c.Read, c.Write} {
			got, err := do(make([]byte, 3))
			assert.Zero(t, got)
			assert.ErrorContains(t, err, "of 3 bytes: invalid count from Read or Write")
		}
		assert.NoError(t, c.Err())
	}
	n, err := newNetConn(func() (int, error) { return 3, io.EOF }).Read(make([]byte, 3))
	assert.Equal(t, 3, n)
	assert.Equal(t, io.EOF, err)
}

func TestEndWaitsForTheMethodsOfANetConn(t *testing.T) {
	for name, tt := range map[string]struct{ read, close time.Duration }{
		"Read":  {3 * time.Second, time.Second},
		"Close": {time.Second, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				takes := tt.read
				s := users.Socket(&fakeNetConn{func() (int, error) { time.Sleep(takes); return 1, nil }}, nil)
				c := s.Conn.(*NetConn)
				began := time.Now()
				go func() { _, _ = c.Read(make([]byte, 1)) }()
				synctest.Wait()
				takes = tt.close
				End(s)
				assert.Equal(t, 3*time.Second, time.Since(began))
				for _, method := range methodsOf[:2] {
					assert.Equal(t, net.ErrClosed, method.call(c))
				}
				assert.NotNil(t, c.RemoteAddr())
				assert.Equal(t, 3*time.Second, time.Since(began), "no method was called")
			})
		})
	}
}

func TestAConnectionOfTheStandardLibraryIsUsedAsItIs(t *testing.T) {
	tcp := new(net.TCPConn)
	assert.Same(t, tcp, users.Socket(tcp, nil).Conn)
	own := struct{ *net.TCPConn }{tcp}
	assert.IsType(t, (*NetConn)(nil), users.Socket(own, nil).Conn, "its Write may be another one")
}

func TestThePanicOfAFenceIsARefusal(t *testing.T) {
	s := users.Socket(&fakeNetConn{func() (int, error) { return 1, nil }}, func() error { panic("wrong") })
	_, err := s.Write([]byte("x"))
	assert.EqualError(t, err, "panic: wrong")
	assert.Equal(t, err, s.Refusal())
	End(s)
}

type lingering struct {
	net.Conn
	seconds int
}

func (c *lingering) SetLinger(seconds int) error { c.seconds = seconds; return nil }

// With a fence the kernel must not go on sending after the end.
func TestAFenceSetsLingerOfAUsersConnection(t *testing.T) {
	plain, fenced := &lingering{seconds: -1}, &lingering{seconds: -1}
	users.Socket(plain, nil)
	users.Socket(fenced, func() error { return nil })
	assert.Equal(t, -1, plain.seconds)
	assert.Equal(t, 0, fenced.seconds)
}
