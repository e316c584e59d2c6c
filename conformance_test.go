package wechatws_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// TestDialerConformance is what every Dialer must do, on a real socket.
func TestDialerConformance(t *testing.T) {
	for name, dialer := range map[string]transport.Dialer{
		"coder":  coder.Dialer{},
		"nhooyr": nhooyr.Dialer{},
	} {
		t.Run(name, func(t *testing.T) {
			for name, test := range map[string]func(*conformance){
				"messages":             (*conformance).messages,
				"fragments":            (*conformance).fragments,
				"close from the peer":  (*conformance).closeFromThePeer,
				"close without a code": (*conformance).closeWithoutACode,
				"end without a close":  (*conformance).endWithoutAClose,
				"ping":                 (*conformance).ping,
				"close":                (*conformance).close,
				"close now":            (*conformance).closeNow,
				"refusal":              (*conformance).refusal,
				"context":              (*conformance).context,
				"handshake":            (*conformance).handshake,
				"a whole client":       (*conformance).client,
			} {
				t.Run(name, func(t *testing.T) {
					s := wstest.NewServer()
					defer s.Close()
					test(&conformance{T: t, dialer: dialer, srv: s})
				})
			}
		})
	}
}

type conformance struct {
	*testing.T
	dialer transport.Dialer
	srv    *wstest.Server
}

func (c *conformance) dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	transport := &http.Transport{DialContext: c.srv.DialContext, DisableKeepAlives: true}
	h.URL, h.Client = c.srv.URL(), &http.Client{Transport: transport}
	return c.dialer.Dial(ctx, h)
}

// open returns both sides.
func (c *conformance) open() (transport.Conn, *wstest.Conn) {
	conn, _, err := c.dial(c.Context(), transport.Handshake{})
	require.NoError(c, err)
	c.Cleanup(func() { conn.CloseNow() })
	peer, err := c.srv.NextConn(c.Context())
	require.NoError(c, err)
	return conn, peer
}

func (c *conformance) read(conn transport.Conn) (transport.MessageType, string) {
	typ, r, err := conn.Reader()
	require.NoError(c, err)
	data, err := io.ReadAll(r)
	require.NoError(c, err)
	return typ, string(data)
}

func (c *conformance) messages() {
	conn, peer := c.open()
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 3 << 20} {
		text := strings.Repeat("x", size)
		require.NoError(c, conn.Write(transport.TextMessage, []byte(text)))
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

func (c *conformance) fragments() {
	conn, peer := c.open()
	// "Hel", a ping, "lo", and one frame, in a single segment.
	require.NoError(c, peer.WriteRaw([]byte("\x01\x03Hel\x89\x02hi\x80\x02lo\x81\x03now")))
	_, first := c.read(conn)
	_, second := c.read(conn)
	assert.Equal(c, "Hello", first)
	assert.Equal(c, "now", second)
}

func (c *conformance) closeFromThePeer() {
	conn, peer := c.open()
	go peer.Close(4001, "kicked")
	_, _, err := conn.Reader()
	var ce *transport.CloseError
	require.ErrorAs(c, err, &ce)
	assert.Equal(c, transport.CloseError{Code: 4001, Reason: "kicked"}, *ce)
}

func (c *conformance) closeWithoutACode() {
	conn, peer := c.open()
	require.NoError(c, peer.WriteRaw([]byte{0x88, 0}))
	_, _, err := conn.Reader()
	var ce *transport.CloseError
	require.ErrorAs(c, err, &ce)
	assert.EqualValues(c, wechatws.StatusNoStatusRcvd, ce.Code)
}

func (c *conformance) endWithoutAClose() {
	conn, peer := c.open()
	peer.Cut(wstest.FIN)
	_, _, err := conn.Reader()
	assert.ErrorIs(c, err, io.EOF)
	var ce *wechatws.CloseError
	assert.False(c, errors.As(err, &ce))
}

func (c *conformance) ping() {
	conn, peer := c.open()
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		_, _, _ = conn.Reader()
	}()
	require.NoError(c, conn.Ping(c.Context()))
	assert.Equal(c, 1, peer.Pings())
	require.NoError(c, peer.Ping(c.Context()), "and pings are answered")

	peer.IgnorePings(true)
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	go func() {
		defer cancel()
		for peer.Pings() < 2 {
			time.Sleep(time.Millisecond)
		}
		// To end in the middle of a write costs the connection; with the next one written,
		// that of the ping is over.
		_ = conn.Write(transport.TextMessage, []byte("written"))
	}()
	require.ErrorIs(c, conn.Ping(ctx), context.Canceled)
	require.NoError(c, conn.Write(transport.TextMessage, []byte("still open")))

	waiting := make(chan error)
	go func() { waiting <- conn.Ping(context.Background()) }()
	conn.CloseNow()
	assert.Error(c, <-waiting, "a ping ends with the connection")
	<-reading
}

func (c *conformance) close() {
	conn, peer := c.open()
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		_, _, _ = conn.Reader()
	}()
	_ = conn.Close(4002, "bye")
	<-reading
	<-peer.Done()
	code, reason := peer.CloseCode()
	assert.Equal(c, 4002, code)
	assert.Equal(c, "bye", reason)
}

func (c *conformance) closeNow() {
	conn, peer := c.open()
	reading := make(chan error)
	go func() {
		_, _, err := conn.Reader()
		reading <- err
	}()
	conn.CloseNow()
	assert.Error(c, <-reading)
	<-peer.Done()
	code, _ := peer.CloseCode()
	assert.Equal(c, 1006, code)
	assert.Error(c, conn.Write(transport.TextMessage, nil))
	conn.CloseNow() // as often as one likes
}

func (c *conformance) refusal() {
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

func (c *conformance) context() {
	c.srv.Answer(wstest.NoAnswer())
	ctx, cancel := context.WithTimeout(c.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := c.dial(ctx, transport.Handshake{})
	assert.ErrorIs(c, err, context.DeadlineExceeded)
}

func (c *conformance) handshake() {
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
	long := strings.Repeat("long ", 10000)
	require.NoError(c, conn.Write(transport.TextMessage, []byte(long)))
	m, err := peer.Receive(c.Context())
	require.NoError(c, err)
	assert.Equal(c, long, m.Text())
	go peer.Send(long)
	_, got := c.read(conn)
	assert.Equal(c, long, got)
}

// client is a drop, a restart, a request and a close, through a Client.
func (c *conformance) client() {
	c.srv.OnMessage(func(peer *wstest.Conn, m wstest.Message) {
		if strings.HasPrefix(m.Text(), `"ask`) {
			_ = peer.Send(`{"msg_type":"answer","to":` + m.Text() + `}`)
		}
	})
	base, err := wechatws.New(c.srv.URL(), wechatws.WithProxy(nil), wechatws.WithDialer(c.dialer),
		wechatws.WithLoginMessage("login"), wechatws.WithTiers(wechatws.Tier{Delay: 5 * time.Millisecond}))
	require.NoError(c, err)
	w := watch(c.T, base).connect()
	var last *wstest.Conn
	for _, fault := range []func(){
		func() { last.Cut(wstest.RST) },
		func() { c.srv.Stop(wstest.FIN); c.srv.Start() },
		func() {},
	} {
		last, err = c.srv.NextConn(c.Context())
		require.NoError(c, err)
		answer, err := w.Request(c.Context(), "ask", func(m wechatws.Message) bool { return m.Type == "answer" })
		require.NoError(c, err)
		assert.Equal(c, `{"msg_type":"answer","to":"ask"}`, string(answer.Data))
		fault()
	}
	w.send("the last word")
	w.close()
	<-last.Done()
	assert.Equal(c, []string{`"login"`, `"ask"`, "the last word"}, received(last))
	code, _ := last.CloseCode()
	assert.Equal(c, 1000, code)
}
