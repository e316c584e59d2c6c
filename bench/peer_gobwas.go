package main

import (
	"context"
	"net"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// gobwasConn uses the helpers of package wsutil on the bare connection.
type gobwasConn struct{ net.Conn }

// dialGobwasNet ignores the buffer that Dial returns if the server has sent data already,
// which the server here does not.
func dialGobwasNet(url string) (net.Conn, error) {
	c, _, _, err := ws.Dial(context.Background(), url)
	return c, err
}

func dialGobwas(url string) (conn, error) {
	c, err := dialGobwasNet(url)
	return gobwasConn{c}, err
}

func (c gobwasConn) read() ([]byte, error) {
	data, _, err := wsutil.ReadServerData(c.Conn)
	return data, err
}

func (c gobwasConn) send(text []byte) error {
	return wsutil.WriteClientMessage(c.Conn, ws.OpText, text)
}

func (c gobwasConn) close() { c.Close() }

func idleGobwas(url string, ended func()) (beat func() error, err error) {
	c, err := dialGobwasNet(url)
	if err != nil {
		return nil, err
	}
	go func() {
		defer ended()
		defer c.Close()
		r := wsutil.Reader{Source: c, State: ws.StateClientSide, CheckUTF8: true}
		control := wsutil.ControlFrameHandler(c, ws.StateClientSide)
		for {
			_ = c.SetReadDeadline(time.Now().Add(deadAfter))
			head, err := r.NextFrame()
			if err != nil {
				return
			}
			if head.OpCode.IsControl() {
				err = control(head, &r)
			} else {
				err = r.Discard()
			}
			if err != nil {
				return
			}
		}
	}()
	return func() error {
		if err := wsutil.WriteClientMessage(c, ws.OpText, heartbeat); err != nil {
			return err
		}
		return wsutil.WriteClientMessage(c, ws.OpPing, nil)
	}, nil
}
