// Package nhooyr implements the transport of package wechatws with nhooyr.io/websocket v1.8.17,
// for programs that depend on it already:
//
//	client, err := wechatws.New(url, wechatws.WithDialer(nhooyr.Dialer{}))
//
// The successor of the library is github.com/coder/websocket, the default of wechatws, with the
// same code and API under a new path. nhooyr.io/websocket is no longer developed, and costs a
// second goroutine for each connection, through which every message passes four times.
//
// With compression it splits a message into several frames, which some servers cannot assemble
// if a ping comes between them; the default does not.
package nhooyr

//lint:file-ignore SA1019 every symbol of the old import path is deprecated

import (
	"context"
	"errors"
	"io"
	"net/http"

	"nhooyr.io/websocket"

	"github.com/wechatws/wechatws/internal/frames"
	"github.com/wechatws/wechatws/internal/handshake"
	"github.com/wechatws/wechatws/transport"
)

// Dialer implements [transport.Dialer]. The zero value is ready for use, and safe for concurrent
// use.
type Dialer struct{}

// Dial implements [transport.Dialer].
func (Dialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	client, found := frames.Find(h.Client)
	client, accept := handshake.Client(client)
	opts := &websocket.DialOptions{HTTPClient: client, HTTPHeader: h.Header, Subprotocols: h.Subprotocols}
	if h.Compression {
		opts.CompressionMode = websocket.CompressionNoContextTakeover
	}
	c, resp, err := websocket.Dial(ctx, h.URL, opts)
	if err != nil {
		return nil, resp, err
	}
	accept()
	c.SetReadLimit(-1)
	return conn{c, found.Stream}, resp, nil
}

// conn implements [transport.Conn]. It uses the background context throughout, as that of
// transport/coder does.
type conn struct {
	*websocket.Conn
	stream *frames.Stream
}

// Stream implements [frames.Streamer].
func (c conn) Stream() *frames.Stream { return c.stream }

func (c conn) Reader() (transport.MessageType, io.Reader, error) {
	t, r, err := c.Conn.Reader(context.Background())
	if err != nil {
		var ce websocket.CloseError
		if errors.As(err, &ce) {
			err = &transport.CloseError{Code: int(ce.Code), Reason: ce.Reason}
		}
		return 0, nil, err
	}
	return transport.MessageType(t), r, nil
}

func (c conn) Write(t transport.MessageType, p []byte) error {
	return c.Conn.Write(context.Background(), websocket.MessageType(t), p)
}

func (c conn) Close(code int, reason string) error {
	return c.Conn.Close(websocket.StatusCode(code), reason)
}
