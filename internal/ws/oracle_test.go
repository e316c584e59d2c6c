package ws

//lint:file-ignore SA1019 every symbol of nhooyr.io/websocket is deprecated

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	coder "github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	nhooyr "nhooyr.io/websocket"
)

// An oracle is another library's connection.
type oracle interface {
	read() (Message, error)
	kind(error) kind
	end()
}

// A kind is the reason for which a connection ended.
type kind struct {
	name   string // "end", "close", "limit" or "invalid"
	code   int
	reason string
}

// kindOf returns the kind of an error of Receive.
func kindOf(err error) kind {
	var ce *CloseError
	var le *LimitError
	var pe *ProtocolError
	switch {
	case errors.As(err, &ce):
		return kind{"close", ce.Code, ce.Reason}
	case errors.As(err, &le):
		return kind{name: "limit"}
	case errors.As(err, &pe):
		return kind{name: "invalid"}
	}
	return kind{name: "end"}
}

// kindOfOther returns the kind of an error that is not a close frame.
func kindOfOther(err error) kind {
	switch {
	case strings.Contains(err.Error(), "read limited"):
		return kind{name: "limit"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(err.Error(), "previous message not read to completion"): // but returned
		return kind{name: "end"}
	}
	return kind{name: "invalid"}
}

type coderConn struct{ *coder.Conn }

func (c coderConn) end() { _ = c.CloseNow() }

func (c coderConn) read() (Message, error) {
	typ, p, err := c.Read(context.Background())
	return Message{typ == coder.MessageText, p}, err
}

func (c coderConn) kind(err error) kind {
	var ce coder.CloseError
	if errors.As(err, &ce) {
		return kind{"close", int(ce.Code), ce.Reason}
	}
	return kindOfOther(err)
}

type nhooyrConn struct{ *nhooyr.Conn }

func (c nhooyrConn) end() { _ = c.CloseNow() }

func (c nhooyrConn) read() (Message, error) {
	typ, p, err := c.Read(context.Background())
	return Message{typ == nhooyr.MessageText, p}, err
}

func (c nhooyrConn) kind(err error) kind {
	var ce nhooyr.CloseError
	if errors.As(err, &ce) {
		return kind{"close", int(ce.Code), ce.Reason}
	}
	return kindOfOther(err)
}

// answer returns the header by which a server agrees.
func (a Agreed) answer() http.Header {
	switch {
	case a.ServerTakeover:
		return http.Header{"Sec-Websocket-Extensions": {extension + "; client_no_context_takeover"}}
	case a.Compressed:
		return http.Header{"Sec-Websocket-Extensions": {extension + "; client_no_context_takeover; server_no_context_takeover"}}
	}
	return nil
}

// clients returns the libraries' clients, which read from streams made by body.
func clients(t require.TestingT, body func() io.ReadWriteCloser, agreed Agreed, limit int64) map[string]oracle {
	coderMode, nhooyrMode := coder.CompressionDisabled, nhooyr.CompressionDisabled
	switch {
	case agreed.ServerTakeover:
		coderMode, nhooyrMode = coder.CompressionContextTakeover, nhooyr.CompressionContextTakeover
	case agreed.Compressed:
		coderMode, nhooyrMode = coder.CompressionNoContextTakeover, nhooyr.CompressionNoContextTakeover
	}
	client := func() *http.Client {
		return &http.Client{Transport: upgrade{body(), agreed.answer()}}
	}
	c, _, err := coder.Dial(context.Background(), "ws://server.test", &coder.DialOptions{HTTPClient: client(), CompressionMode: coderMode})
	require.NoError(t, err)
	c.SetReadLimit(limit)
	n, _, err := nhooyr.Dial(context.Background(), "ws://server.test", &nhooyr.DialOptions{HTTPClient: client(), CompressionMode: nhooyrMode})
	require.NoError(t, err)
	n.SetReadLimit(limit)
	return map[string]oracle{"coder": coderConn{c}, "nhooyr": nhooyrConn{n}}
}

// An upgraded is the response to a request whose connection a library's server takes over.
type upgraded struct {
	conn   net.Conn
	header http.Header
}

func (u upgraded) Header() http.Header         { return u.header }
func (u upgraded) Write(p []byte) (int, error) { return len(p), nil }
func (u upgraded) WriteHeader(int)             {}
func (u upgraded) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u.conn, bufio.NewReadWriter(bufio.NewReader(u.conn), bufio.NewWriter(u.conn)), nil
}

// server returns a library's server on conn.
func server(t require.TestingT, library string, conn net.Conn, agreed Agreed) oracle {
	r, err := http.NewRequest(http.MethodGet, "http://server.test", nil)
	require.NoError(t, err)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Extensions": agreed.answer()["Sec-Websocket-Extensions"],
	}
	w := upgraded{conn, http.Header{}}
	if library == "coder" {
		mode := coder.CompressionDisabled
		if agreed.Compressed {
			mode = coder.CompressionNoContextTakeover
		}
		c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode})
		require.NoError(t, err)
		c.SetReadLimit(-1)
		return coderConn{c}
	}
	mode := nhooyr.CompressionDisabled
	if agreed.Compressed {
		mode = nhooyr.CompressionNoContextTakeover
	}
	c, err := nhooyr.Accept(w, r, &nhooyr.AcceptOptions{CompressionMode: mode})
	require.NoError(t, err)
	c.SetReadLimit(-1)
	return nhooyrConn{c}
}
