package boundary

import (
	"net"
	"time"

	"github.com/wechatws/wechatws/internal/ws"
)

// Socket returns the Socket of conn, which is below it a NetConn unless its type is one of the
// standard library's. fence may be nil, and may panic or call runtime.Goexit.
func (c Caller) Socket(conn net.Conn, fence func() error) *ws.Socket {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default: // also a type that embeds one of these, since its Write may be its own
		user := &NetConn{conn: conn}
		user.init(c)
		conn = user
	}
	if fence != nil {
		allow := fence
		fence = func() error { return c.Apart(allow) }
	}
	return ws.NewSocket(conn, fence)
}

// End ends the Socket, and waits until no method of a user's is being called.
func End(s *ws.Socket) {
	s.End()
	if c, ok := s.Conn.(*NetConn); ok {
		c.gate.close()
		c.gate.under.Wait()
	}
}

// maxLayers bounds the search for the lowest connection: one may name itself.
const maxLayers = 8

// A NetConn is a network connection of a type that is not the standard library's. While the
// WebSocket connection is being made, goroutines of net/http call its methods too; these
// goroutines must not end, so the methods run apart. net/http returns the first error that it
// meets, which may be the end of the connection instead of the panic that has caused it.
type NetConn struct {
	Fault
	conn net.Conn
	gate gate // but for Close
}

// do runs a method: apart while net/http uses the connection, and in place after that.
func (c *NetConn) do(method func() error) error {
	if c.live() {
		return c.call(Caller.Protect, method)
	}
	return c.apart(method)
}

func (c *NetConn) apart(method func() error) error { return c.call(Caller.Apart, method) }

func (c *NetConn) call(how func(Caller, func() error) error, method func() error) error {
	if !c.gate.enter() {
		return net.ErrClosed
	}
	defer c.gate.under.Done()
	return how(c.users, method)
}

// Read implements [net.Conn].
func (c *NetConn) Read(p []byte) (n int, err error) {
	err = c.do(func() (err error) { n, err = transfer(p, c.conn.Read); return err })
	return n, err
}

// Write implements [net.Conn].
func (c *NetConn) Write(p []byte) (n int, err error) {
	err = c.do(func() (err error) { n, err = transfer(p, c.conn.Write); return err })
	return n, err
}

// Close implements [net.Conn].
func (c *NetConn) Close() error { return c.users.Apart(c.conn.Close) }

// SetLinger is that of the connection, if it has one, as a type that embeds a [*net.TCPConn] has.
func (c *NetConn) SetLinger(seconds int) error {
	if socket, ok := c.conn.(interface{ SetLinger(seconds int) error }); ok {
		return c.apart(func() error { return socket.SetLinger(seconds) })
	}
	return nil
}

// SetWriteBuffer is that of the connection, if it has one.
func (c *NetConn) SetWriteBuffer(bytes int) error {
	if socket, ok := c.conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		return c.apart(func() error { return socket.SetWriteBuffer(bytes) })
	}
	return nil
}

// NetConn returns the lowest one of the connections below that the connections name by this method,
// as [tls.Conn] does, or nil.
func (c *NetConn) NetConn() (below net.Conn) {
	_ = c.apart(func() error {
		upper, ok := c.conn.(interface{ NetConn() net.Conn })
		for range maxLayers {
			if !ok {
				break
			}
			below = upper.NetConn()
			upper, ok = below.(interface{ NetConn() net.Conn })
		}
		return nil
	})
	return below
}

// SetDeadline implements [net.Conn].
func (c *NetConn) SetDeadline(t time.Time) error {
	return c.apart(func() error { return c.conn.SetDeadline(t) })
}

// SetReadDeadline implements [net.Conn].
func (c *NetConn) SetReadDeadline(t time.Time) error {
	return c.apart(func() error { return c.conn.SetReadDeadline(t) })
}

// SetWriteDeadline implements [net.Conn].
func (c *NetConn) SetWriteDeadline(t time.Time) error {
	return c.do(func() error { return c.conn.SetWriteDeadline(t) })
}

// LocalAddr implements [net.Conn].
func (c *NetConn) LocalAddr() net.Addr { return c.address(c.conn.LocalAddr) }

// RemoteAddr implements [net.Conn].
func (c *NetConn) RemoteAddr() net.Addr { return c.address(c.conn.RemoteAddr) }

// address returns an empty address if the method returns nil.
func (c *NetConn) address(method func() net.Addr) net.Addr {
	var addr net.Addr
	_ = c.apart(func() error { addr = method(); return nil })
	if IsNil(addr) {
		return &net.UnixAddr{}
	}
	return addr
}
