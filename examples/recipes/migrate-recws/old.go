package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/recws-org/recws"

	"github.com/wechatws/wechatws/examples/recipes/internal/scene"
)

// An oldClient is a program on recws, which has the loop.
type oldClient struct {
	url   string
	heard func(comment)
	conn  *recws.RecConn
}

func newOldClient(url string, heard func(comment)) *oldClient {
	c := &oldClient{url: url, heard: heard}
	c.conn = &recws.RecConn{
		RecIntvlMin:      scene.Retry,
		RecIntvlMax:      scene.Retry,
		RecIntvlFactor:   1,
		HandshakeTimeout: scene.Retry, // Dial sleeps for as long, connected or not
		NonVerbose:       true,        // or it logs the URL, token and all
		// An error from it ends the process, by log.Fatalf.
		SubscribeHandler: func() error { return c.conn.WriteJSON(login{"login", "secret"}) },
		// KeepAliveTimeout would detect a server that has fallen silent. It is left at 0,
		// which is off: in v1.4.0 its goroutine outlives Close, and then loops without a
		// pause.
	}
	return c
}

func (c *oldClient) Run(ctx context.Context) error {
	c.conn.Dial(c.url, nil) // an invalid URL ends the process
	// Not Close: the read that it interrupts would connect again. Shutdown reads fields that
	// connecting writes, without the lock that IsConnected takes.
	defer context.AfterFunc(ctx, func() {
		if c.conn.IsConnected() {
			c.conn.Shutdown(time.Second)
		}
	})()
	for {
		_, data, err := c.conn.ReadMessage()
		switch {
		case ctx.Err() != nil && !c.conn.IsConnected():
			return ctx.Err()
		case err != nil:
			time.Sleep(scene.Retry / 10) // it reconnects in the background; ask again
			continue
		}
		var m comment
		if json.Unmarshal(data, &m) != nil { // not ReadJSON: there it is a reason to reconnect
			continue
		}
		switch m.Type {
		case "message":
			c.heard(m)
		}
	}
}

func (c *oldClient) Say(_ context.Context, text string) error {
	return c.conn.WriteJSON(comment{"message", text}) // with recws.ErrNotConnected the caller has to keep the message
}
