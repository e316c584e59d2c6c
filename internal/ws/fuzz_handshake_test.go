package ws

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// An answering is a network connection whose peer answers the request with bytes, and then
// closes it.
type answering struct {
	stream
	answer []byte
	asked  chan struct{}

	mu      sync.Mutex // guards the fields below
	request []byte
	reader  io.Reader
}

// Write answers when the request is complete. The text KEY in the answer is replaced by what
// proves that the key was read.
func (a *answering) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.request = append(a.request, p...)
	if a.reader == nil && bytes.HasSuffix(a.request, []byte("\r\n\r\n")) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(a.request)))
		if err != nil {
			return 0, err
		}
		a.reader = bytes.NewReader(bytes.ReplaceAll(a.answer, []byte("KEY"), []byte(acceptFor(r))))
		close(a.asked)
	}
	return len(p), nil
}

func (a *answering) Read(p []byte) (int, error) {
	<-a.asked
	return a.reader.Read(p)
}

func (a *answering) Close() error { return nil }

// FuzzHandshakeAnswer answers a handshake with anything.
func FuzzHandshakeAnswer(f *testing.F) {
	const valid = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n"
	for _, answer := range []string{
		"", "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nno", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" + valid + "\r\n", "HTTP/1.0 302 Found\r\nLocation: ws://other.test/\r\n\r\n",
		valid + "\r\n", valid + "\r\n\x81\x05hello\x88\x00", valid + "Sec-WebSocket-Protocol: json\r\n\r\n\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
		valid + "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n\r\n\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00",
		valid + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=\"15\", x;;\r\n\r\n",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		transport := &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return NewSocket(&answering{answer: answer, asked: make(chan struct{})}, nil), nil
			},
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, resp, err := Dial(t.Context(), Handshake{
			Client: &http.Client{Transport: transport}, URL: "ws://server.test", Subprotocols: []string{"json"}, Compression: true,
		})
		if err == nil {
			require.NotNil(t, resp)
			c.ReadLimit = 1 << 20
			received := receiveAll(c)
			require.Error(t, received.err)
			c.Abort()
			c.Socket().End()
		} else {
			require.Nil(t, c)
			if resp != nil {
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.LessOrEqual(t, len(text), 1<<10)
			}
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20+100*len(answer)))
	})
}
