// Package nhooyr implements the transport of package wechatws with nhooyr.io/websocket v1.8.17,
// for programs that use this library already:
//
//	client, err := wechatws.New(url, wechatws.WithDialer(nhooyr.Dialer{}))
//
// The library is no longer developed. Its successor is github.com/coder/websocket, with the same
// code and API under a new path, see package transport/coder; the differences to the default
// transport are the same. nhooyr.io/websocket also costs a second goroutine for each connection,
// through which every message passes four times.
//
// With compression it splits a message into several frames, which some servers cannot assemble
// if a ping comes between them; the default transport does not.
package nhooyr

//lint:file-ignore SA1019 every symbol of the old import path is deprecated

import (
	"context"
	"errors"
	"io"
	"net/http"

	"nhooyr.io/websocket"

	"github.com/wechatws/wechatws/internal/handshake"
	"github.com/wechatws/wechatws/transport"
)

// Dialer implements [transport.Dialer]. The zero value is ready for use, and safe for concurrent
// use.
type Dialer struct{}

// Dial implements [transport.Dialer].
func (Dialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	client, accept := handshake.Client(h.Client)
	opts := &websocket.DialOptions{HTTPClient: client, HTTPHeader: h.Header, Subprotocols: h.Subprotocols}
	if h.Compression {
		opts.CompressionMode = websocket.CompressionNoContextTakeover
	}
	c, resp, err := websocket.Dial(ctx, h.URL, opts)
	if err != nil {
		return nil, resp, handshake.Error(err)
	}
	accept()
	c.SetReadLimit(-1)
	return &conn{Conn: c}, resp, nil
}

// conn implements [transport.Conn]. It uses the background context throughout, as that of
// transport/coder does.
type conn struct {
	*websocket.Conn
	message handshake.Message // that of Reader
}

func (c *conn) Reader() (transport.MessageType, io.Reader, error) {
	t, r, err := c.Conn.Reader(context.Background())
	if err != nil {
		var ce websocket.CloseError
		if errors.As(err, &ce) {
			err = &transport.CloseError{Code: int(ce.Code), Reason: ce.Reason}
		}
		return 0, nil, handshake.Ended(err)
	}
	c.message.Reader = r
	return transport.MessageType(t), &c.message, nil
}

func (c *conn) Write(t transport.MessageType, p []byte) error {
	return c.Conn.Write(context.Background(), websocket.MessageType(t), p)
}

func (c *conn) Close(code int, reason string) error {
	return c.Conn.Close(websocket.StatusCode(code), reason)
}
