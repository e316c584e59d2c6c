package main

import (
	"context"

	"github.com/coder/websocket"
)

// coderConn is used with a context that can end, as in the library's examples.
type coderConn struct {
	*websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc
}

func dialCoder(url string) (conn, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	c.SetReadLimit(1 << 20)
	return &coderConn{c, ctx, cancel}, nil
}

func (c *coderConn) read() ([]byte, error) {
	_, data, err := c.Read(c.ctx)
	return data, err
}

func (c *coderConn) send(text []byte) error { return c.Write(c.ctx, websocket.MessageText, text) }

func (c *coderConn) close() {
	c.CloseNow()
	c.cancel()
}

// coderReuse reads into one buffer, and has a context that cannot end, which saves
// a callback for each operation.
type coderReuse struct {
	coderConn
	in readBuffer
}

func dialCoderReuse(url string) (conn, error) {
	c, err := dialCoder(url)
	if err != nil {
		return nil, err
	}
	cc := c.(*coderConn)
	cc.ctx = context.Background()
	return &coderReuse{coderConn: *cc}, nil
}

func (c *coderReuse) read() ([]byte, error) {
	_, r, err := c.Reader(c.ctx)
	if err != nil {
		return nil, err
	}
	return c.in.readAll(r)
}

func idleCoder(url string, ended func()) (beat func() error, err error) {
	ctx := context.Background()
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	go func() {
		defer ended()
		defer c.CloseNow()
		for {
			if _, _, err := c.Read(ctx); err != nil {
				return
			}
		}
	}()
	return func() error {
		ctx, cancel := context.WithTimeout(ctx, deadAfter)
		defer cancel()
		if err := c.Write(ctx, websocket.MessageText, heartbeat); err != nil {
			return err
		}
		return c.Ping(ctx)
	}, nil
}
