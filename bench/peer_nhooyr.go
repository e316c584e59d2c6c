package main

import (
	"context"

	"nhooyr.io/websocket"
)

//lint:file-ignore SA1019 the path is deprecated as a whole, and still what many programs import

// nhooyrConn is used with a context that can end, as in the library's examples.
type nhooyrConn struct {
	*websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc
}

func dialNhooyr(url string) (conn, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	c.SetReadLimit(1 << 20)
	return &nhooyrConn{c, ctx, cancel}, nil
}

func (c *nhooyrConn) read() ([]byte, error) {
	_, data, err := c.Read(c.ctx)
	return data, err
}

func (c *nhooyrConn) send(text []byte) error { return c.Write(c.ctx, websocket.MessageText, text) }

func (c *nhooyrConn) close() {
	c.CloseNow()
	c.cancel()
}

func idleNhooyr(url string, ended func()) (beat func() error, err error) {
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
