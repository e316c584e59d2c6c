package trials

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A faulty path to a server is one through toxiproxy, in this process.
type path struct {
	t      *testing.T
	server *wstest.Server
	proxy  *toxiproxy.Proxy
}

func newPath(t *testing.T) *path {
	s := wstest.NewServer()
	t.Cleanup(s.Close)
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), t.Name(), "127.0.0.1:0", s.Addr())
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return &path{t, s, p}
}

func (p *path) client(options ...wechatws.Option) *client {
	return newClient(p.t, "ws://"+p.proxy.Listen, options...)
}

// toxic makes what the server sends suffer.
func (p *path) toxic(kind string, attributes map[string]any) {
	p.t.Helper()
	body, err := json.Marshal(map[string]any{"name": kind, "type": kind, "stream": "downstream", "attributes": attributes})
	require.NoError(p.t, err)
	_, err = p.proxy.Toxics.AddToxicJson(bytes.NewReader(body))
	require.NoError(p.t, err)
}

func (p *path) heal(kind string) {
	p.t.Helper()
	require.NoError(p.t, p.proxy.Toxics.RemoveToxic(p.t.Context(), kind))
}

func (p *path) conn() *wstest.Conn {
	p.t.Helper()
	c, err := p.server.NextConn(p.t.Context())
	require.NoError(p.t, err)
	return c
}

func TestProxyBareFIN(t *testing.T) {
	t.Parallel()
	p := newPath(t)
	c := p.client().connect()
	p.proxy.Stop()
	e := c.closed(1)
	require.ErrorIs(t, e.Err, io.EOF)
	require.Equal(t, wechatws.StatusAbnormalClosure, e.Code)
	require.ErrorIs(t, c.failure(1), syscall.ECONNREFUSED)
	require.NoError(t, p.proxy.Start())
	c.open(2)
}

func TestProxyRST(t *testing.T) {
	t.Parallel()
	p := newPath(t)
	p.toxic("reset_peer", map[string]any{"timeout": 0})
	c := p.client()
	opened := make(chan error, 1)
	go func() { opened <- c.Connect(t.Context()) }()
	require.ErrorIs(t, c.failure(1), syscall.ECONNRESET)
	p.heal("reset_peer")
	require.NoError(t, <-opened)
}

// Half a frame, and then the end.
func TestProxyHalfAFrame(t *testing.T) {
	t.Parallel()
	p := newPath(t)
	c := p.client().connect()
	p.toxic("limit_data", map[string]any{"bytes": 1000})
	require.NoError(t, p.conn().Send(strings.Repeat("x", 2000)))
	require.ErrorIs(t, c.closed(1).Err, io.ErrUnexpectedEOF)
	p.heal("limit_data")
	c.open(2)
	require.Empty(t, c.texts)
}

// Half a frame, and then nothing.
func TestProxyHalfAFrameAndThenNothing(t *testing.T) {
	t.Parallel()
	p := newPath(t)
	c := p.client().connect()
	conn := p.conn()
	require.NoError(t, conn.WriteRaw([]byte("\x81\x7e\x07\xd0half")))
	p.toxic("timeout", map[string]any{"timeout": 0})
	start := time.Now()
	require.ErrorIs(t, c.closed(1).Err, wechatws.ErrHalfOpen)
	t.Logf("found after %v", time.Since(start).Round(time.Millisecond))
	require.GreaterOrEqual(t, time.Since(start), 6*time.Second, "10 s after the last byte")
	p.heal("timeout")
	c.open(2)
}

func TestProxyBytesOneAtATime(t *testing.T) {
	t.Parallel()
	p := newPath(t)
	p.toxic("slicer", map[string]any{"average_size": 1, "size_variation": 0, "delay": 100})
	c := p.client().connect()
	conn := p.conn()
	text := `{"msg_type":"x","pad":"` + strings.Repeat("å", 500) + `"}`
	for range 3 {
		require.NoError(t, conn.Send(text))
	}
	c.until("three messages", func() bool { return len(c.texts) == 3 })
	require.Equal(t, []string{text, text, text}, c.texts)
	require.Equal(t, 1, c.Stats().Opens)
}

// A message of 120 kB takes 15 s at 64 kbit/s, longer than the liveness timeout, and
// the pongs wait behind it.
func TestProxySlowLinkIsNotDropped(t *testing.T) {
	t.Parallel()
	p := newPath(t)
	c := p.client().connect()
	conn := p.conn()
	p.toxic("bandwidth", map[string]any{"rate": 8})
	start := time.Now()
	require.NoError(t, conn.Send(`{"msg_type":"x","pad":"`+strings.Repeat("x", 120_000)+`"}`))
	c.until("the message", func() bool { return len(c.texts) == 1 })
	took := time.Since(start)
	t.Logf("120 kB took %v", took.Round(time.Millisecond))
	require.Greater(t, took, 10*time.Second, "or it tests nothing")
	require.Equal(t, 1, c.Stats().Opens)
	require.Empty(t, c.closes)
}
