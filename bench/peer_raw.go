package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"
)

// rawConn is the floor: a TCP connection, frame headers parsed by hand in a 64 KiB buffer,
// and nothing else. No client can cost less; it is not usable as a client.
type rawConn struct {
	net.Conn
	frames *frameReader
	out    []byte
}

func dialRaw(url string) (conn, error) {
	c, err := upgrade(url)
	if err != nil {
		return nil, err
	}
	return &rawConn{Conn: c, frames: newFrameReader(c, 64<<10)}, nil
}

// upgrade performs the handshake. The server sends nothing before the client does, so that
// no data is lost with the buffer.
func upgrade(url string) (net.Conn, error) {
	host, target := hostOf(url)
	c, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", target, host)
	if err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(bufio.NewReaderSize(c, 512), nil); err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("the server answered %s", resp.Status)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *rawConn) read() ([]byte, error) {
	for {
		op, payload, err := c.frames.next()
		if op == opText || err != nil {
			return payload, err
		}
	}
}

func (c *rawConn) send(text []byte) error {
	c.out = appendMasked(c.out[:0], opText, text)
	_, err := c.Write(c.out)
	return err
}

func (c *rawConn) close() { c.Close() }

// gatheredConn writes when it has gathered 64 KiB, or when it is read: the least that sending
// can cost.
type gatheredConn struct{ rawConn }

func dialGathered(url string) (conn, error) {
	c, err := dialRaw(url)
	if err != nil {
		return nil, err
	}
	return &gatheredConn{*c.(*rawConn)}, nil
}

func (c *gatheredConn) send(text []byte) error {
	c.out = appendMasked(c.out, opText, text)
	if len(c.out) < 64<<10 {
		return nil
	}
	return c.flush()
}

func (c *gatheredConn) flush() error {
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *gatheredConn) read() ([]byte, error) {
	if err := c.flush(); err != nil {
		return nil, err
	}
	return c.rawConn.read()
}

func idleRaw(url string, ended func()) (beat func() error, err error) {
	c, err := upgrade(url)
	if err != nil {
		return nil, err
	}
	go func() {
		defer ended()
		defer c.Close()
		frames := newFrameReader(c, 4<<10)
		for {
			_ = c.SetReadDeadline(time.Now().Add(deadAfter))
			if _, _, err := frames.next(); err != nil {
				return
			}
		}
	}()
	both := appendMasked(appendMasked(nil, opText, heartbeat), opPing, nil)
	return func() error { _, err := c.Write(both); return err }, nil
}
