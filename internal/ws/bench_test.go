package ws

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// A repeating is a connection from which the same bytes can be read for ever, and which takes
// all that is written.
type repeating struct {
	bytes []byte
	next  []byte
}

func (r *repeating) Read(p []byte) (n int, err error) {
	if len(r.next) == 0 {
		r.next = r.bytes
	}
	n = copy(p, r.next)
	r.next = r.next[n:]
	return n, nil
}

func (r *repeating) Write(p []byte) (int, error) { return len(p), nil }
func (r *repeating) Close() error                { return nil }

func coderOn(t require.TestingT, body io.ReadWriteCloser) *coder.Conn {
	c, _, err := coder.Dial(context.Background(), "ws://server.test", &coder.DialOptions{HTTPClient: &http.Client{Transport: upgrade{body, nil}}})
	require.NoError(t, err)
	return c
}

// BenchmarkRead reads messages of 100 bytes, of which 100 arrive together, or one.
func BenchmarkRead(b *testing.B) {
	message := text(strings.Repeat("x", 100))
	for _, n := range []int{1, 100} {
		body := func() *repeating { return &repeating{bytes: []byte(strings.Repeat(string(message), n))} }
		b.Run(fmt.Sprintf("together=%d/ws", n), func(b *testing.B) {
			b.ReportAllocs()
			c := NewConn(body(), nil, Agreed{})
			for i := 0; i < b.N; {
				batch, err := c.Receive()
				require.NoError(b, err)
				i += len(batch.Messages)
				batch.Release()
			}
		})
		b.Run(fmt.Sprintf("together=%d/coder", n), func(b *testing.B) {
			b.ReportAllocs()
			c := coderOn(b, body())
			for b.Loop() {
				_, _, err := c.Read(context.Background())
				require.NoError(b, err)
			}
			_ = c.CloseNow()
		})
	}
}

// BenchmarkWrite writes messages of 100 bytes to a socket, of which 100 are gathered, or one.
func BenchmarkWrite(b *testing.B) {
	message := []byte(strings.Repeat("x", 100))
	onTCP := func(b *testing.B, run func(b *testing.B, s *Socket)) {
		b.ReportAllocs()
		client, server := tcpPair(b)
		require.NoError(b, client.SetWriteBuffer(1<<20))
		go io.Copy(io.Discard, server)
		b.ResetTimer()
		run(b, NewSocket(client, nil))
	}
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("gathered=%d/ws", n), func(b *testing.B) {
			onTCP(b, func(b *testing.B, s *Socket) {
				c := NewConn(s, s, Agreed{})
				for i := 0; i < b.N; i++ {
					require.NoError(b, c.AppendMessage(true, message))
					if i%n == n-1 {
						done, err := c.TryFlush()
						require.NoError(b, err)
						if !done {
							require.NoError(b, c.Flush())
						}
					}
				}
			})
		})
	}
	b.Run("gathered=1/coder", func(b *testing.B) {
		onTCP(b, func(b *testing.B, s *Socket) {
			c := coderOn(b, s.Conn.(io.ReadWriteCloser))
			for b.Loop() {
				require.NoError(b, c.Write(context.Background(), coder.MessageText, message))
			}
			_ = c.CloseNow()
		})
	})
}

// BenchmarkIdle measures the memory of a connection that has read and written a message, without
// the network connection.
func BenchmarkIdle(b *testing.B) {
	message := text("hello")
	measure := func(b *testing.B, dial func() any) {
		conns := make([]any, 0, b.N)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC() // empties the pools
		runtime.ReadMemStats(&before)
		for range b.N {
			conns = append(conns, dial())
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/float64(b.N), "bytes/conn")
		runtime.KeepAlive(conns)
	}
	b.Run("ws", func(b *testing.B) {
		measure(b, func() any {
			c, _, err := Dial(b.Context(), Handshake{Client: &http.Client{Transport: upgrade{inChunks(message, 100), nil}}, URL: "ws://server.test"})
			require.NoError(b, err)
			batch, err := c.Receive()
			require.NoError(b, err)
			batch.Release()
			require.NoError(b, c.AppendMessage(true, message))
			require.NoError(b, c.Flush())
			return c
		})
	})
	b.Run("coder", func(b *testing.B) {
		measure(b, func() any {
			c := coderOn(b, inChunks(message, 100))
			_, _, err := c.Read(b.Context())
			require.NoError(b, err)
			require.NoError(b, c.Write(b.Context(), coder.MessageText, message))
			return c
		})
	})
}
