package wechatws_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// acceptOne accepts a connection, and answers its handshake.
func acceptOne(t *testing.T, l net.Listener) net.Conn {
	c, err := l.Accept()
	require.NoError(t, err)
	r, err := http.ReadRequest(bufio.NewReader(c))
	require.NoError(t, err)
	digest := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(digest[:]))
	require.NoError(t, err)
	return c
}

// A server that has not read for long reads, when it goes on, only what has reached it of a connection
// that was ended as half-open. The kernel would send the rest after what the next connection has
// brought, and a message of SendConfirmed that was sent again there would arrive twice.
func TestAServerThatReadsLate(t *testing.T) {
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		}), err)
	}}
	l, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := wechatws.New("ws://"+l.Addr().String(), wechatws.WithProxy(nil),
		wechatws.WithTiers(wechatws.Tier{Delay: 10 * time.Millisecond}),
		wechatws.WithLiveness(wechatws.Liveness{Interval: 50 * time.Millisecond, Timeout: 500 * time.Millisecond}),
		wechatws.WithNetDial(func(context.Context, string, string) (net.Conn, error) {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err == nil {
				err = conn.(*net.TCPConn).SetWriteBuffer(1 << 20)
			}
			return conn, err
		}))
	require.NoError(t, err)
	closes := make(chan error, 1)
	c.OnClose(func(_ context.Context, e wechatws.CloseEvent) { closes <- e.Err })
	connected := make(chan error)
	go func() { connected <- c.Connect(t.Context()) }()
	old := acceptOne(t, l)
	defer old.Close()
	require.NoError(t, <-connected)

	const size = 200_000
	require.NoError(t, c.Send(t.Context(), wechatws.Text(strings.Repeat("x", size))))
	require.ErrorIs(t, <-closes, wechatws.ErrHalfOpen)
	again := acceptOne(t, l)
	defer again.Close()

	read, err := io.ReadAll(old)
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	assert.NotEmpty(t, read, "what has reached it is not lost")
	assert.Less(t, len(read), size/2, "the rest was in the client's socket")
	require.NoError(t, c.CloseNow())
	<-c.Done()
}
