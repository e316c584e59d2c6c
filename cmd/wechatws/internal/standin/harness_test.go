package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An output is what a log writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// events returns the lines without their times, after a Close.
func (o *output) events(t *testing.T) (lines []Line) {
	t.Helper()
	for text := range strings.Lines(o.String()) {
		var line Line
		require.NoError(t, json.Unmarshal([]byte(text), &line), text)
		line.At = time.Time{}
		lines = append(lines, line)
	}
	return lines
}

// start starts a backend on a free port, with a log of JSON.
func start(t *testing.T, c Config) (*Backend, *output) {
	t.Helper()
	out := &output{}
	c.Addr, c.Log = "127.0.0.1:0", &Log{Out: out, JSON: true}
	b, err := Start(c)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b, out
}

// limited returns a context for what takes a moment on any machine.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// dial connects to a backend, which has counted the connection when dial returns.
func dial(t *testing.T, b *Backend) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(limited(t), b.Server().URL(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.CloseNow() })
	_, err = b.Server().NextConn(limited(t))
	require.NoError(t, err)
	return c
}

func read(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	_, data, err := c.Read(limited(t))
	require.NoError(t, err)
	return string(data)
}

func write(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	require.NoError(t, c.Write(limited(t), websocket.MessageText, []byte(text)))
}
