package wstest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// A faultConn is the server's side of a network connection, below TLS and HTTP,
// where faults are made.
type faultConn struct {
	net.Conn
	stamped *stampedConn // Conn, if the kernel reports when data arrived
	server  *Server

	mu        sync.Mutex
	changed   *sync.Cond
	paused    bool
	blackhole bool
	rate      int // bytes a second that Read returns; zero: no limit
	closed    bool
	arrived   time.Time // when the data of the latest Read arrived
}

// A faultListener accepts connections as faultConns.
type faultListener struct {
	net.Listener
	server *Server
}

func (l *faultListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &faultConn{Conn: conn, stamped: stamped(conn), server: l.server}
	if c.stamped != nil {
		c.Conn = c.stamped
	}
	c.changed = sync.NewCond(&c.mu)
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.server.raw[c] = struct{}{}
	return c, nil
}

// Read blocks while the connection is paused, and discards what it reads while the connection is
// a black hole.
func (c *faultConn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		for c.paused && !c.closed {
			c.changed.Wait()
		}
		rate := c.rate
		c.mu.Unlock()
		if rate > 0 {
			const slices = 10 // a second
			time.Sleep(time.Second / slices)
			p = p[:min(len(p), max(rate/slices, 1))]
		}
		n, err := c.Conn.Read(p)
		c.mu.Lock()
		for c.paused && !c.closed { // paused while it was reading
			c.changed.Wait()
		}
		lost := c.blackhole && err == nil
		if c.arrived = time.Now(); c.stamped != nil && err == nil {
			c.arrived = c.stamped.at
		}
		c.mu.Unlock()
		if !lost {
			return n, err
		}
	}
}

func (c *faultConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	lost := c.blackhole
	c.mu.Unlock()
	if lost {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *faultConn) Close() error {
	c.set(func() { c.closed = true })
	c.server.mu.Lock()
	delete(c.server.raw, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
}

// lastArrival returns when the latest data arrived.
func (c *faultConn) lastArrival() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrived
}

// set changes the faults of the connection.
func (c *faultConn) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.changed.Broadcast()
}

// cut ends the connection, also without a TLS close alert.
func (c *faultConn) cut(how Cut) {
	if how == RST {
		switch conn := c.Conn.(type) {
		case interface{ SetLinger(sec int) error }:
			_ = conn.SetLinger(0)
		case *end:
			conn.close(true)
		}
	}
	_ = c.Close()
}

type faultConnKey struct{}

// withFaultConn lets handlers find the connection that a request came on.
func withFaultConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, faultConnKey{}, c)
}

func faultConnOf(r *http.Request) *faultConn {
	return r.Context().Value(faultConnKey{}).(*faultConn)
}
