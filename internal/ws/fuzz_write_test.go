//go:build unix

package ws

import (
	"bytes"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// socketPair returns both ends of a connection, whose buffers are as small as possible.
func socketPair(t require.TestingT) (client, server net.Conn) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	var conns [2]net.Conn
	for i, fd := range pair {
		f := os.NewFile(uintptr(fd), "")
		conns[i], err = net.FileConn(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.NoError(t, conns[i].(*net.UnixConn).SetWriteBuffer(1))
	}
	return conns[0], conns[1]
}

// FuzzWrite has the other libraries' servers read what is written: any mixture of messages,
// control frames and flushes.
func FuzzWrite(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed, byte(seed), choices(seed, 200))
	}
	f.Fuzz(func(t *testing.T, seed uint64, mode byte, choices []byte) {
		t.Parallel()
		random := seeded(seed)
		agreed := Agreed{Compressed: mode%2 == 1}
		foreign := mode/2%2 == 1
		for _, library := range []string{"coder", "nhooyr"} {
			client, peer := socketPair(t)
			if foreign {
				client = struct{ net.Conn }{client}
			}
			s := NewSocket(client, nil)
			c := NewConn(s, s, agreed)
			o := server(t, library, peer, agreed)

			// The server reads once the client may block.
			begin := make(chan struct{})
			type result struct {
				messages []Message
				end      kind
			}
			results := make(chan result)
			go func() {
				<-begin
				var r result
				for {
					m, err := o.read()
					if err != nil {
						r.end = o.kind(err)
						results <- r
						return
					}
					r.messages = append(r.messages, m)
				}
			}()
			begun := false
			mayBlock := func() {
				if !begun {
					close(begin)
				}
				begun = true
			}

			var want []Message
			next, left := 0, choices[:min(len(choices), 100)]
			full := false // TryFlush has not written all
			for ; next < len(left); next++ {
				switch op := left[next]; {
				case full || op%8 == 0:
					mayBlock()
					require.NoError(t, c.Flush())
					require.Equal(t, c.Appended(), c.Written())
					full = false
				case op%8 == 1:
					done, err := c.TryFlush()
					require.NoError(t, err)
					if full = !done; done {
						require.Equal(t, c.Appended(), c.Written())
					}
				case op%8 == 2:
					if !fits(c, 4) {
						mayBlock()
					}
					require.NoError(t, c.AppendPong([]byte("pong")))
				default:
					p := randomText(random, int(op)/8)
					if !fits(c, len(p)) {
						mayBlock()
					}
					require.NoError(t, c.AppendMessage(op%8 < 6, []byte(p)))
					want = append(want, Message{op%8 < 6, []byte(p)})
				}
				require.LessOrEqual(t, c.Written(), c.Appended())
			}
			mayBlock()
			require.NoError(t, c.Flush())
			require.NoError(t, c.AppendClose(4000, "bye"))
			require.NoError(t, c.Flush())
			r := <-results
			requireSame(t, want, r.messages, "%s", library)
			require.Equal(t, kind{"close", 4000, "bye"}, r.end)
			o.end()
			c.Abort()
			s.End()
			peer.Close()
		}
	})
}

// fits reports whether a frame can be appended without blocking.
func fits(c *Conn, size int) bool {
	gathered := 0
	if c.out != nil {
		gathered = len(*c.out)
	}
	return gathered+size+maxHeader <= BufferSize
}

// randomText returns text of a size that grows with n, from 0 to 31: small messages, mostly, and
// some around the size of the buffer.
func randomText(random *rand.Rand, n int) string {
	size := random.IntN(n*n + 1)
	if n > 28 {
		size = BufferSize - 40 + random.IntN(80)
	}
	if n == 31 {
		size += random.IntN(200_000)
	}
	unit := make([]byte, 1+random.IntN(1000))
	for i := range unit {
		unit[i] = "messages of random words"[random.IntN(24)]
	}
	p := bytes.Repeat(unit, size/len(unit)+1)[:size]
	for range size / 100 {
		p[random.IntN(size)] = byte(random.Uint32())
	}
	return string(p)
}
