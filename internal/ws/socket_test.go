package ws

import (
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// overTCP runs a test on a connection whose buffers are small, without TLS and with it.
func overTCP(t *testing.T, test func(t *testing.T, c *Conn, server net.Conn)) {
	t.Run("plain", func(t *testing.T) {
		client, server := tcpPair(t)
		s := NewSocket(client, nil)
		test(t, NewConn(s, s, Agreed{}), server)
	})
	t.Run("TLS", func(t *testing.T) {
		client, server := tcpPair(t)
		s := NewSocket(client, nil)
		ofServer, ofClient := tlsConfigs(t)
		above := tls.Server(server, ofServer)
		go above.Handshake()
		below := tls.Client(s, ofClient)
		require.NoError(t, below.Handshake())
		test(t, NewConn(below, s, Agreed{}), above)
	})
}

// A full socket is not waited for by TryFlush, and Flush writes the rest in order.
func TestTryFlush(t *testing.T) {
	overTCP(t, func(t *testing.T, c *Conn, server net.Conn) {
		var want []sent
		message := strings.Repeat("0123456789", 100)
		for full := false; !full; {
			require.NoError(t, c.AppendMessage(true, []byte(message)))
			want = append(want, sent{0x81, message})
			done, err := c.TryFlush()
			require.NoError(t, err)
			if full = !done; done {
				require.Equal(t, c.Appended(), c.Written())
			}
			require.Less(t, len(want), 100_000)
		}
		done, err := c.TryFlush()
		require.NoError(t, err)
		assert.False(t, done, "it is still full")
		assert.Less(t, c.Written(), c.Appended())

		got := make(chan []byte)
		go func() {
			p, _ := io.ReadAll(server)
			got <- p
		}()
		require.NoError(t, c.Flush())
		assert.Equal(t, c.Appended(), c.Written())
		for range 100 {
			require.NoError(t, c.AppendMessage(true, []byte(message)))
			want = append(want, sent{0x81, message})
		}
		large := strings.Repeat(message, 1000)
		require.NoError(t, c.AppendMessage(true, []byte(large)))
		want = append(want, sent{0x81, large})
		require.NoError(t, c.Flush())
		c.Abort()
		all := <-got
		assert.Len(t, all, int(c.Appended()))
		assert.Equal(t, want, framesOf(t, all))
	})
}

// Written never claims more than the peer can receive, and without TLS exactly as much.
func TestSeal(t *testing.T) {
	for range 20 {
		overTCP(t, func(t *testing.T, c *Conn, server net.Conn) {
			flushed := make(chan error)
			go func() {
				var err error
				for err == nil {
					if err = c.AppendMessage(true, make([]byte, rand.IntN(100_000))); err == nil {
						err = c.Flush()
					}
				}
				flushed <- err
			}()
			p := make([]byte, 100_000)
			n, err := io.ReadFull(server, p)
			require.NoError(t, err)
			written := c.Seal()
			assert.Error(t, <-flushed, "Seal ends Flush")
			assert.Equal(t, written, c.Written())
			c.Abort()
			rest, _ := io.ReadAll(server)
			if _, ok := server.(*tls.Conn); ok {
				assert.LessOrEqual(t, int(written), n+len(rest))
				assert.Greater(t, int(written), n+len(rest)-2*maxRecord)
			} else {
				assert.Equal(t, int(written), n+len(rest))
			}
		})
	}
}

func TestAbortEndsBlockedCalls(t *testing.T) {
	overTCP(t, func(t *testing.T, c *Conn, _ net.Conn) {
		errs := make(chan error)
		go func() {
			_, err := c.Receive()
			errs <- err
		}()
		go func() {
			errs <- c.AppendMessage(true, make([]byte, 10<<20))
		}()
		for !c.Socket().blocked() {
			runtime.Gosched()
		}
		c.Abort()
		assert.ErrorIs(t, <-errs, net.ErrClosed)
		assert.ErrorIs(t, <-errs, net.ErrClosed)
		c.Socket().End()
	})
	t.Run("pipe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			c := NewConn(client, nil, Agreed{})
			errs := make(chan error)
			go func() {
				_, err := c.Receive()
				errs <- err
			}()
			go func() {
				errs <- c.AppendMessage(true, make([]byte, 10<<20))
			}()
			synctest.Wait()
			c.Abort()
			assert.Error(t, <-errs)
			assert.Error(t, <-errs)
			assert.EqualValues(t, 0, c.Written())
			assert.Error(t, c.Flush(), "errors are final")
			assert.Error(t, c.AppendPing(nil))
			c.Socket().End()
		})
	})
}

// An answer to a KeyUpdate, and an alert, are written on the reading goroutine. That must not
// wait for a socket that takes nothing.
func TestTLSWritesWhileTheSocketIsFull(t *testing.T) {
	client, server := tcpPair(t)
	s := NewSocket(client, nil)
	c := NewConn(s, s, Agreed{})
	blocked := make(chan error)
	go func() { blocked <- c.AppendMessage(true, make([]byte, 10<<20)) }()
	for !s.blocked() {
		runtime.Gosched()
	}
	n, err := s.Write([]byte("KeyUpdate"))
	require.NoError(t, err)
	assert.Equal(t, 9, n)
	for err == nil {
		_, err = s.Write(make([]byte, 1000))
	}
	assert.ErrorIs(t, err, errRest, "there is a bound")
	server.Close()
	assert.Error(t, <-blocked)
}

// What TLS writes does not overtake the rest, also if there is room for it again.
func TestTLSWritesBehindTheRest(t *testing.T) {
	client, server := tcpPair(t)
	s := NewSocket(client, nil)
	c := NewConn(s, s, Agreed{})
	for done := true; done; {
		require.NoError(t, c.AppendMessage(true, make([]byte, 10_000)))
		var err error
		done, err = c.TryFlush()
		require.NoError(t, err)
	}
	n := int(c.Written())
	_, err := io.ReadFull(server, make([]byte, n))
	require.NoError(t, err)
	_, err = s.Write([]byte("KeyUpdate"))
	require.NoError(t, err)
	require.NoError(t, c.Flush())
	c.Abort()
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	assert.Len(t, got, int(c.Appended())-n+len("KeyUpdate"))
	assert.Equal(t, "KeyUpdate", string(got[len(got)-9:]))
}

// silent returns for how long the peer has shown no life.
func silent(s *Socket) time.Duration { return time.Since(s.Life().Heard) }

// What a slow peer takes shows that it is alive.
func TestASlowPeerIsAlive(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Socket, server net.Conn) {
		c := NewConn(s, s, Agreed{})
		time.Sleep(time.Minute)
		assert.Equal(t, time.Minute, silent(s))
		assert.False(t, s.blocked())
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, c.AppendMessage(true, make([]byte, 1<<20))); assert.NoError(t, c.Flush()) })
		ended := false
		for read := 0; read < 1<<20; {
			synctest.Wait()
			assert.True(t, s.blocked() || read > 900_000)
			time.Sleep(10 * time.Second)
			if s.blocked() {
				assert.GreaterOrEqual(t, silent(s), 9*time.Second, "while the peer takes nothing")
			}
			k, err := io.ReadFull(server, make([]byte, min(10_000, 1<<20-read)))
			require.NoError(t, err)
			read += k
			synctest.Wait()
			time.Sleep(writeSlice)
			synctest.Wait()
			if s.blocked() {
				assert.LessOrEqual(t, silent(s), writeSlice)
			} else if !ended {
				ended = true
				assert.Less(t, silent(s), 15*time.Second)
			}
		}
		go io.Copy(io.Discard, server)
		wg.Wait()
		assert.False(t, s.blocked())
		c.Abort()
	})
}

func TestFence(t *testing.T) {
	overTCPWithFence := func(t *testing.T, foreign bool) {
		client, server := tcpPair(t)
		refusal := errors.New("not the owner any more")
		var mu sync.Mutex
		var refused error
		fence := func() error {
			mu.Lock()
			defer mu.Unlock()
			return refused
		}
		var below net.Conn = client
		if foreign {
			below = struct{ net.Conn }{client}
		}
		s := NewSocket(below, fence)
		c := NewConn(s, s, Agreed{})
		require.NoError(t, c.AppendMessage(true, []byte("permitted")))
		require.NoError(t, c.Flush())
		assert.NoError(t, s.Refusal())
		mu.Lock()
		refused = refusal
		mu.Unlock()
		read := make(chan error)
		go func() {
			_, err := c.Receive()
			read <- err
		}()
		require.NoError(t, c.AppendMessage(true, []byte("refused")))
		if !foreign {
			_, err := c.TryFlush()
			assert.ErrorIs(t, err, refusal)
		}
		assert.ErrorIs(t, c.Flush(), refusal)
		assert.ErrorIs(t, s.Refusal(), refusal)
		assert.Error(t, <-read, "the connection is aborted")
		s.End()
		got, _ := io.ReadAll(server)
		assert.NotContains(t, string(got), "refused")
		assert.LessOrEqual(t, len(got), 15)
	}
	t.Run("TCP", func(t *testing.T) { overTCPWithFence(t, false) })
	t.Run("foreign", func(t *testing.T) { overTCPWithFence(t, true) })
	t.Run("while a write waits", func(t *testing.T) {
		client, server := tcpPair(t)
		var mu sync.Mutex
		var refused error
		s := NewSocket(client, func() error { mu.Lock(); defer mu.Unlock(); return refused })
		c := NewConn(s, s, Agreed{})
		blocked := make(chan error)
		go func() { blocked <- c.AppendMessage(true, make([]byte, 10<<20)) }()
		for !s.blocked() {
			runtime.Gosched()
		}
		mu.Lock()
		refused = errors.New("not the owner any more")
		mu.Unlock()
		_, _ = io.ReadFull(server, make([]byte, 1<<20)) // the socket has room, and is not written to
		assert.ErrorIs(t, <-blocked, refused)
	})
}

// inMemory runs a test with a Socket on a network in memory, whose writes may block.
func inMemory(t *testing.T, test func(t *testing.T, s *Socket, server net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		l, err := n.Listen("peer.test:1")
		require.NoError(t, err)
		defer l.Close()
		accepted := make(chan net.Conn)
		go func() {
			server, _ := l.Accept()
			accepted <- server
		}()
		client, err := n.DialContext(t.Context(), "tcp", "peer.test:1")
		require.NoError(t, err)
		s, server := NewSocket(client, nil), <-accepted
		test(t, s, server)
		s.End()
		server.Close()
	})
}

// TLS sets a deadline of its own when it writes its close_notify alert.
func TestADeadlineOfTLSEndsAWrite(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Socket, _ net.Conn) {
		c := NewConn(s, s, Agreed{})
		began := time.Now()
		time.AfterFunc(2500*time.Millisecond, func() { _ = s.SetWriteDeadline(time.Now()) })
		assert.ErrorIs(t, c.AppendMessage(true, make([]byte, 200<<10)), os.ErrDeadlineExceeded)
		assert.Equal(t, 2500*time.Millisecond, time.Since(began))
	})
}

// Before the Conn is made, Write blocks, as net/http and TLS expect it.
func TestWriteBlocksDuringTheHandshake(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Socket, server net.Conn) {
		go func() {
			time.Sleep(time.Minute)
			_, _ = io.Copy(io.Discard, server)
		}()
		began := time.Now()
		n, err := s.Write(make([]byte, 200<<10))
		require.NoError(t, err)
		assert.Equal(t, 200<<10, n)
		assert.Less(t, time.Minute-writeSlice, time.Since(began))
		accepted, taken := s.progress()
		assert.Equal(t, accepted, taken)
	})
}

func TestSignsOfLife(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Socket, server net.Conn) {
		born := time.Now()
		c := NewConn(s, s, Agreed{})
		time.Sleep(time.Minute)
		assert.Equal(t, born, s.LastRead())
		require.NoError(t, c.AppendPing(nil))
		require.NoError(t, c.Flush())
		assert.Equal(t, time.Minute, silent(s), "to write what there is room for shows nothing")
		failed := make(chan error)
		go func() {
			_, err := c.Receive()
			failed <- err
		}()
		_, err := server.Write(text("hello")[:2])
		require.NoError(t, err)
		synctest.Wait()
		assert.Zero(t, silent(s))
		assert.True(t, c.Partial())
		time.Sleep(time.Second)
		assert.Equal(t, born.Add(time.Minute), s.LastRead())
		assert.False(t, s.ReadFailed())
		server.Close()
		require.ErrorIs(t, <-failed, io.ErrUnexpectedEOF)
		assert.True(t, s.ReadFailed())
	})
}

// A goexiting is a connection whose Write ends the goroutine.
type goexiting struct{ net.Conn }

func (goexiting) Write([]byte) (int, error) { runtime.Goexit(); return 0, nil }

func TestGoexitInAWrite(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	s := NewSocket(goexiting{client}, nil)
	c := NewConn(s, s, Agreed{})
	require.NoError(t, c.AppendPing(nil))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Flush()
	}()
	<-done
	assert.ErrorIs(t, c.Flush(), net.ErrClosed)
	assert.False(t, s.blocked())
	s.End()
}

// A stuck is a connection whose Close blocks.
type stuck struct {
	net.Conn
	free chan struct{}
}

func (s stuck) Close() error { <-s.free; return s.Conn.Close() }

func TestAbortDoesNotWaitForAForeignClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close()
		free := make(chan struct{})
		s := NewSocket(stuck{client, free}, nil)
		s.Abort()
		s.Abort()
		began := time.Now()
		time.AfterFunc(time.Minute, func() { close(free) })
		s.End()
		assert.Equal(t, time.Minute, time.Since(began), "End does")
	})
}

// A peer that still sends can read a close frame that is written meanwhile.
func TestDiscard(t *testing.T) {
	overTCP(t, func(t *testing.T, c *Conn, server net.Conn) {
		written := make(chan error)
		go func() {
			_, err := server.Write(text(strings.Repeat("x", 10<<20)))
			written <- err
		}()
		c.ReadLimit = 100
		_, err := c.Receive()
		require.Equal(t, &LimitError{100}, err)
		require.NoError(t, c.AppendClose(1009, ""))
		require.NoError(t, c.Flush())
		discarded := make(chan struct{})
		go func() {
			c.Discard()
			close(discarded)
		}()
		require.NoError(t, <-written)
		got := make([]byte, c.Appended())
		_, err = io.ReadFull(server, got)
		require.NoError(t, err)
		assert.Equal(t, []sent{{0x88, "\x03\xf1"}}, framesOf(t, got))
		server.Close()
		<-discarded
	})
}
