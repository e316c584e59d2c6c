package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/wechatws/wechatws/examples/recipes/internal/scene"
)

// An oldClient is a careful loop around gorilla/websocket, such as programs have after a few
// incidents.
type oldClient struct {
	url    string
	dialer *websocket.Dialer
	heard  func(comment)

	mu   sync.Mutex // of writes: gorilla allows one at a time
	conn *websocket.Conn
}

var errNotConnected = errors.New("not connected")

func (c *oldClient) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		_ = c.session(ctx) // a 401 is tried again like everything else
		select {
		case <-time.After(scene.Retry):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// session is one connection.
func (c *oldClient) session(ctx context.Context) error {
	conn, _, err := c.dialer.DialContext(ctx, c.url, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // ends a read that blocks

	conn.SetReadLimit(1 << 20) // the default is none
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(scene.Dead)) }
	_ = alive("")
	conn.SetPongHandler(alive)

	c.mu.Lock()
	c.conn = conn
	err = conn.WriteJSON(login{"login", "secret"})
	c.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conn = nil
	}()

	var pinging sync.WaitGroup
	defer pinging.Wait()
	done := make(chan struct{})
	defer close(done)
	pinging.Go(func() {
		ticker := time.NewTicker(scene.Ping)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				// WriteControl may be called concurrently with other writes.
				if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(scene.Ping)) != nil {
					return
				}
			case <-done:
				return
			}
		}
	})

	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		var m comment
		if json.Unmarshal(data, &m) != nil {
			continue
		}
		switch m.Type { // a chain that grows with every type
		case "message":
			c.heard(m) // while it runs nothing is read, no pong either
		}
	}
}

func (c *oldClient) Say(_ context.Context, text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return errNotConnected // the caller has to keep the message
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(scene.Dead))
	return c.conn.WriteJSON(comment{"message", text})
}
