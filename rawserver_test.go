package wechatws_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// rawServer accepts one connection after the other, performs the handshake and calls serve with the
// connection, which is closed when that returns.
func rawServer(t *testing.T, serve func(*net.TCPConn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if upgrade(c, "") == nil {
				serve(c.(*net.TCPConn))
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "ws://" + l.Addr().String()
}

// upgrade performs the server's side of a handshake. header is more of the answer's.
func upgrade(c net.Conn, header string) error {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err == nil {
		digest := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, err = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
			base64.StdEncoding.EncodeToString(digest[:]), header)
	}
	return err
}

// A clientFrame is a frame of a client, unmasked.
type clientFrame struct {
	first   byte
	payload string
}

// readFrame reads a frame of a client.
func readFrame(r io.Reader) (f clientFrame, err error) {
	read := func(n int) []byte {
		p := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(r, p)
		}
		return p
	}
	head := read(2)
	length := int(head[1] & 0x7f)
	switch length {
	case 126:
		length = int(binary.BigEndian.Uint16(read(2)))
	case 127:
		length = int(binary.BigEndian.Uint64(read(8)))
	}
	key, payload := read(4), read(length)
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return clientFrame{head[0], string(payload)}, err
}

// A peer that has not read anything yet when it violates a limit can read all that was written
// before, and the close frame.
func TestAViolatorCanReadTheCloseFrame(t *testing.T) {
	ready := make(chan struct{})
	frames := make(chan []clientFrame, 1)
	url := rawServer(t, func(c *net.TCPConn) {
		_ = c.SetReadBuffer(32 << 10)
		<-ready
		_, _ = io.WriteString(c, frame(fin|1, strings.Repeat("x", 10<<20)))
		var got []clientFrame
		for {
			f, err := readFrame(c)
			if err != nil {
				break
			}
			if got = append(got, f); f.first == fin|8 {
				break
			}
		}
		frames <- got
	})
	options := append(quiet(), wechatws.WithProxy(nil), wechatws.WithTiers(wechatws.Tier{Delay: 1 << 40}), wechatws.WithStrict())
	client, err := wechatws.New(url, options...)
	require.NoError(t, err)
	c := watch(t, client).connect()
	for range 200 {
		c.send(strings.Repeat("x", 1<<10))
	}
	c.flush()
	close(ready)
	got := <-frames
	require.Len(t, got, 201)
	require.Equal(t, clientFrame{fin | 8, "\x03\xf1message exceeds the read limit"}, got[200])
	require.NoError(t, c.CloseNow())
	<-c.Done()
}
