package main

import (
	"time"

	"github.com/lxzan/gws"
)

// gwsConn calls back on the goroutine that reads.
type gwsConn struct {
	gws.BuiltinEventHandler
	socket *gws.Conn
	got    func([]byte)
	ended  chan struct{}
}

func dialGws(url string) (conn, error) {
	c := &gwsConn{ended: make(chan struct{})}
	var err error
	c.socket, _, err = gws.NewClient(c, &gws.ClientOption{Addr: url})
	return c, err
}

func (c *gwsConn) listen(got func(data []byte)) {
	c.got = got
	go func() {
		defer close(c.ended)
		c.socket.ReadLoop()
	}()
}

func (c *gwsConn) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	c.got(m.Bytes())
}

func (c *gwsConn) send(text []byte) error { return c.socket.WriteMessage(gws.OpcodeText, text) }

func (c *gwsConn) close() {
	_ = c.socket.NetConn().Close()
	if c.got != nil {
		<-c.ended
	}
}

// gwsIdle closes connections whose peer is silent.
type gwsIdle struct{ gws.BuiltinEventHandler }

func (gwsIdle) OnPong(c *gws.Conn, _ []byte) { _ = c.SetReadDeadline(time.Now().Add(deadAfter)) }

func idleGws(url string, ended func()) (beat func() error, err error) {
	c, _, err := gws.NewClient(gwsIdle{}, &gws.ClientOption{Addr: url})
	if err != nil {
		return nil, err
	}
	_ = c.SetReadDeadline(time.Now().Add(deadAfter))
	go func() {
		defer ended()
		c.ReadLoop()
	}()
	return func() error {
		if err := c.WriteMessage(gws.OpcodeText, heartbeat); err != nil {
			return err
		}
		return c.WritePing(nil)
	}, nil
}
