package conformance

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// TestDialers is the contract of transport.Dialer and transport.Conn, on a network in memory.
func TestDialers(t *testing.T) {
	for name, dialer := range map[string]transport.Dialer{"coder": coder.Dialer{}, "nhooyr": nhooyr.Dialer{}} {
		t.Run(name, func(t *testing.T) {
			for name, test := range map[string]func(*contract){
				"messages":             (*contract).messages,
				"close from the peer":  (*contract).closeFromPeer,
				"close without a code": (*contract).closeWithoutCode,
				"end without a close":  (*contract).endWithoutClose,
				"ping":                 (*contract).ping,
				"close":                (*contract).close,
				"close now":            (*contract).closeNow,
				"refusal":              (*contract).refusal,
				"context":              (*contract).context,
				"handshake":            (*contract).handshake,
			} {
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
						defer srv.Close()
						test(&contract{T: t, dialer: dialer, srv: srv})
					})
				})
			}
		})
	}
}

type contract struct {
	*testing.T
	dialer transport.Dialer
	srv    *wstest.Server
}

func (c *contract) dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	below := &http.Transport{DialContext: c.srv.DialContext, DisableKeepAlives: true}
	h.URL, h.Client = c.srv.URL(), &http.Client{Transport: below}
	return c.dialer.Dial(ctx, h)
}

// open returns both sides.
func (c *contract) open() (transport.Conn, *wstest.Conn) {
	conn, _, err := c.dial(c.Context(), transport.Handshake{})
	require.NoError(c, err)
	c.Cleanup(func() { conn.CloseNow() })
	peer, err := c.srv.NextConn(c.Context())
	require.NoError(c, err)
	return conn, peer
}

// reading reads until the connection ends, and returns a channel that has the error then.
func reading(conn transport.Conn) <-chan error {
	end := make(chan error, 1)
	go func() {
		_, _, err := conn.Reader()
		end <- err
	}()
	return end
}

func (c *contract) read(conn transport.Conn) (transport.MessageType, string) {
	typ, r, err := conn.Reader()
	require.NoError(c, err)
	data, err := io.ReadAll(r)
	require.NoError(c, err)
	return typ, string(data)
}

func (c *contract) messages() {
	conn, peer := c.open()
	for _, size := range []int{0, 1, 3 << 20} {
		text := strings.Repeat("x", size)
		go func() { assert.NoError(c, conn.Write(transport.TextMessage, []byte(text))) }()
		m, err := peer.Receive(c.Context())
		require.NoError(c, err)
		assert.True(c, !m.Binary && m.Text() == text, "%d bytes out", size)
		go peer.Send(text)
		typ, got := c.read(conn)
		assert.True(c, typ == transport.TextMessage && got == text, "%d bytes in: there is no read limit", size)
	}
	require.NoError(c, conn.Write(transport.BinaryMessage, []byte{0, 255}))
	m, err := peer.Receive(c.Context())
	require.NoError(c, err)
	assert.True(c, m.Binary)
	require.NoError(c, peer.SendBinary([]byte{1}))
	typ, got := c.read(conn)
	assert.Equal(c, transport.BinaryMessage, typ)
	assert.Equal(c, "\x01", got)
}

func (c *contract) closeFromPeer() {
	conn, peer := c.open()
	go peer.Close(4001, "kicked")
	_, _, err := conn.Reader()
	var ce *transport.CloseError
	require.ErrorAs(c, err, &ce)
	assert.Equal(c, transport.CloseError{Code: 4001, Reason: "kicked"}, *ce)
}

func (c *contract) closeWithoutCode() {
	conn, peer := c.open()
	require.NoError(c, peer.WriteRaw([]byte{fin | opClose, 0}))
	_, _, err := conn.Reader()
	var ce *transport.CloseError
	require.ErrorAs(c, err, &ce)
	assert.Equal(c, 1005, ce.Code)
}

func (c *contract) endWithoutClose() {
	conn, peer := c.open()
	peer.Cut(wstest.FIN)
	_, _, err := conn.Reader()
	assert.ErrorIs(c, err, io.EOF)
	assert.False(c, errors.As(err, new(*transport.CloseError)))
}

func (c *contract) ping() {
	conn, peer := c.open()
	end := reading(conn)
	require.NoError(c, conn.Ping(c.Context()))
	assert.Equal(c, 1, peer.Pings())
	require.NoError(c, peer.Ping(c.Context()), "and pings are answered")

	peer.IgnorePings(true)
	ctx, cancel := context.WithCancel(c.Context())
	pinged := make(chan error, 1)
	go func() { pinged <- conn.Ping(ctx) }()
	synctest.Wait()
	assert.Equal(c, 2, peer.Pings())
	cancel()
	require.ErrorIs(c, <-pinged, context.Canceled)
	require.NoError(c, conn.Write(transport.TextMessage, []byte("still open")))

	go func() { pinged <- conn.Ping(context.Background()) }()
	synctest.Wait()
	conn.CloseNow()
	assert.Error(c, <-pinged, "a ping ends with the connection")
	<-end
}

func (c *contract) close() {
	conn, peer := c.open()
	end := reading(conn)
	_ = conn.Close(4002, "bye")
	<-end
	<-peer.Done()
	code, reason := peer.CloseCode()
	assert.Equal(c, 4002, code)
	assert.Equal(c, "bye", reason)
}

func (c *contract) closeNow() {
	conn, peer := c.open()
	end := reading(conn)
	conn.CloseNow()
	assert.Error(c, <-end)
	<-peer.Done()
	code, _ := peer.CloseCode()
	assert.Equal(c, 1006, code)
	assert.Error(c, conn.Write(transport.TextMessage, nil))
	conn.CloseNow() // may be called again
}

func (c *contract) refusal() {
	c.srv.Answer(wstest.Status(403, http.Header{"X-Why": {"banned"}}, strings.Repeat("no ", 1000)))
	_, resp, err := c.dial(c.Context(), transport.Handshake{})
	require.Error(c, err)
	require.NotNil(c, resp)
	assert.Equal(c, 403, resp.StatusCode)
	assert.Equal(c, "banned", resp.Header.Get("X-Why"))
	body, err := io.ReadAll(resp.Body)
	require.NoError(c, err)
	assert.Len(c, body, 1024)
}

func (c *contract) context() {
	c.srv.Answer(wstest.NoAnswer())
	ctx, cancel := context.WithTimeout(c.Context(), time.Second)
	defer cancel()
	start := time.Now()
	_, _, err := c.dial(ctx, transport.Handshake{})
	assert.ErrorIs(c, err, context.DeadlineExceeded)
	assert.Equal(c, time.Second, time.Since(start))
}

func (c *contract) handshake() {
	c.srv.Answer(wstest.Accept(wstest.WithSubprotocols("b"), wstest.WithCompression()))
	conn, resp, err := c.dial(c.Context(), transport.Handshake{
		Header: http.Header{"X-Token": {"t"}}, Subprotocols: []string{"a", "b"}, Compression: true,
	})
	require.NoError(c, err)
	defer conn.CloseNow()
	assert.Equal(c, "b", conn.Subprotocol())
	assert.Contains(c, resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	peer, err := c.srv.NextConn(c.Context())
	require.NoError(c, err)
	assert.Equal(c, "t", peer.Request().Header.Get("X-Token"))
}
