package ws

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What TLS adds while a large write waits goes behind all of it, also if the write is taken in
// several parts.
func TestWhatIsAddedDuringAWriteFollowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		s := NewSocket(client, nil)
		s.goLive()
		large := bytes.Repeat([]byte("0123456789"), 10_000)
		_, err := s.Write(large)
		require.NoError(t, err)
		flushed := make(chan error)
		go func() { flushed <- s.flush() }()
		got := make([]byte, 20_000)
		_, err = io.ReadFull(server, got)
		require.NoError(t, err)
		_, err = s.Write([]byte("added"))
		require.NoError(t, err)
		time.Sleep(2 * writeSlice) // the write is begun anew
		go func() {
			rest, _ := io.ReadAll(server)
			got = append(got, rest...)
		}()
		require.NoError(t, <-flushed)
		s.Close()
		synctest.Wait()
		assert.True(t, bytes.Equal(slices.Concat(large, []byte("added")), got))
	})
}

// A gatedConn is a user's connection whose Write waits for the gate.
type gatedConn struct {
	net.Conn
	gate    chan struct{}
	writing atomic.Int32
	most    atomic.Int32
	closes  atomic.Int32
	written []byte
}

func (c *gatedConn) Write(p []byte) (int, error) {
	c.most.Store(max(c.most.Load(), c.writing.Add(1)))
	<-c.gate
	c.written = append(c.written, p...)
	c.writing.Add(-1)
	return len(p), nil
}

func (c *gatedConn) Close() error {
	c.closes.Add(1)
	return nil
}

// During the handshake two goroutines may write. The socket is given the bytes of one after those of
// the other.
func TestTwoWritersDuringTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &gatedConn{gate: make(chan struct{})}
		s := NewSocket(c, nil)
		var done atomic.Int32
		for _, p := range []string{"first", "second", "third"} {
			go func() {
				_, err := s.Write([]byte(p))
				assert.NoError(t, err)
				done.Add(1)
			}()
			synctest.Wait()
		}
		close(c.gate)
		synctest.Wait()
		assert.EqualValues(t, 3, done.Load())
		assert.EqualValues(t, 1, c.most.Load())
		assert.Equal(t, "firstsecondthird", string(c.written))
	})
}

// Seal ends a call that waits behind a write that blocks, and prevents later writes; Close is called
// once.
func TestSealOfAUsersConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gated := &gatedConn{gate: make(chan struct{})}
		s := NewSocket(gated, nil)
		c := NewConn(s, s, Agreed{})
		require.NoError(t, c.AppendMessage(true, []byte("written")))
		first, behind := make(chan error, 1), make(chan error, 1)
		go func() { first <- c.Flush() }()
		synctest.Wait()
		go func() { behind <- s.flush() }()
		synctest.Wait()
		require.Empty(t, behind)
		assert.Zero(t, c.Seal())
		require.ErrorIs(t, <-behind, net.ErrClosed)
		close(gated.gate)
		require.ErrorIs(t, <-first, net.ErrClosed)
		length := len(gated.written)
		require.Error(t, c.AppendMessage(true, []byte("too late")))
		_, err := s.Write([]byte("too late"))
		require.ErrorIs(t, err, net.ErrClosed)
		assert.Len(t, gated.written, length)
		assert.Nil(t, c.out, "the buffer is given back")
		s.Abort()
		s.Abort()
		s.End()
		assert.EqualValues(t, 1, gated.closes.Load())
	})
}

// A peer that empties the buffers of a full socket is alive, also where it is not known how much
// it has acknowledged.
func TestProgressOfAFullSocket(t *testing.T) {
	for name, unknown := range map[string]bool{"as the system knows": false, "nothing is known": true} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			s := NewSocket(client, nil)
			if unknown {
				s.acks = false
				require.NoError(t, client.SetWriteBuffer(sendBuffer))
				require.NoError(t, server.SetReadBuffer(sendBuffer)) // so that one write cannot take all
			}
			c := NewConn(s, s, Agreed{})
			flushed := make(chan error)
			go func() { flushed <- c.AppendMessage(true, make([]byte, 32<<20)) }()
			_, err := io.CopyN(io.Discard, server, 1<<20)
			require.NoError(t, err)
			s.Life() // the first look, at which bytes wait
			_, err = io.CopyN(io.Discard, server, 8<<20)
			require.NoError(t, err)
			assert.True(t, s.Life().Heard.After(s.born))
			c.Abort()
			<-flushed
		})
	}
}

func TestEachFrameHasAKeyOfItsOwn(t *testing.T) {
	peer := &script{}
	c := NewConn(peer, nil, Agreed{})
	for range 3 {
		require.NoError(t, c.AppendMessage(true, []byte(strings.Repeat("x", 10))))
	}
	require.NoError(t, c.Flush())
	keys := map[string]bool{}
	for frame := range slices.Chunk(peer.written.Bytes(), 2+4+10) {
		keys[string(frame[2:6])] = true
	}
	assert.Len(t, keys, 3)
}

// A flush that fails gives the buffer back.
func TestAFailedFlushHoldsNoBuffer(t *testing.T) {
	c := NewConn(&script{}, nil, Agreed{})
	require.NoError(t, c.AppendMessage(true, []byte("x")))
	c.Seal()
	require.Error(t, c.Flush())
	assert.Nil(t, c.out)
}

// The end of a connection with a fence discards what the kernel has not sent yet.
func TestAConnectionWithAFenceIsReset(t *testing.T) {
	client, server := tcpPair(t)
	NewSocket(client, func() error { return nil }).Abort()
	_, err := server.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}
