// Package coder implements the transport of package wechatws with github.com/coder/websocket,
// for programs that use this library already:
//
//	client, err := wechatws.New(url, wechatws.WithDialer(coder.Dialer{}))
//
// Compared with the default transport, each message is written with a system call of its own,
// masked frames from a server are accepted, a compressed message that is truncated is taken for
// a whole one, and servers that keep their compression context cannot be read. The file
// internal/conformance/deviations_test.go lists the differences.
package coder

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/coder/websocket"

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

// conn implements [transport.Conn]. It uses the background context throughout: a context that
// can end costs an allocation for each operation, and ends the connection.
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
