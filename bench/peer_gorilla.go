package main

import (
	"io"
	"time"

	"github.com/gorilla/websocket"
)

// gorillaConn is the loop of the examples: ReadMessage, WriteMessage.
type gorillaConn struct{ *websocket.Conn }

func dialGorilla(url string) (conn, error) {
	c, _, err := websocket.DefaultDialer.Dial(url, nil)
	return gorillaConn{c}, err
}

func (c gorillaConn) read() ([]byte, error) {
	_, data, err := c.ReadMessage()
	return data, err
}

func (c gorillaConn) send(text []byte) error { return c.WriteMessage(websocket.TextMessage, text) }
func (c gorillaConn) close()                 { c.Close() }

// gorillaReuse reads into one buffer.
type gorillaReuse struct {
	gorillaConn
	in readBuffer
}

func dialGorillaReuse(url string) (conn, error) {
	c, _, err := websocket.DefaultDialer.Dial(url, nil)
	return &gorillaReuse{gorillaConn: gorillaConn{c}}, err
}

func (c *gorillaReuse) read() ([]byte, error) {
	_, r, err := c.NextReader()
	if err != nil {
		return nil, err
	}
	return c.in.readAll(r)
}

// A readBuffer is [io.ReadAll] with a buffer that is reused.
type readBuffer []byte

func (b *readBuffer) readAll(r io.Reader) ([]byte, error) {
	buf := (*b)[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		*b = buf
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func idleGorilla(url string, ended func()) (beat func() error, err error) {
	c, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	alive := func(string) error { return c.SetReadDeadline(time.Now().Add(deadAfter)) }
	c.SetPongHandler(alive)
	go func() {
		defer ended()
		defer c.Close()
		for alive("") == nil {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}()
	return func() error {
		if err := c.WriteMessage(websocket.TextMessage, heartbeat); err != nil {
			return err
		}
		return c.WriteControl(websocket.PingMessage, nil, time.Now().Add(deadAfter))
	}, nil
}
