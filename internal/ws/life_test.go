package ws

import (
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An upper is a connection of a user's type that names the one below it.
type upper struct{ net.Conn }

func (u upper) NetConn() net.Conn { return u.Conn }

// What the socket has taken waits until the peer acknowledges it.
func TestLife(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is unknown what the peer has acknowledged")
	}
	client, server := tcpPair(t)
	require.NoError(t, client.SetWriteBuffer(4<<20))
	assert.True(t, NewSocket(upper{client}, nil).acks)
	s := NewSocket(client, nil)
	assert.Equal(t, Life{Heard: s.born}, s.Life())
	const size = 1 << 20
	written := make(chan error)
	go func() {
		_, err := s.Write(make([]byte, size))
		written <- err
	}()
	buffer := make([]byte, size/4)
	var last int64
	for range 3 {
		_, err := io.ReadFull(server, buffer)
		require.NoError(t, err)
		life := s.Life()
		assert.Greater(t, life.Acked, last)
		assert.False(t, life.Waits.IsZero())
		last = life.Acked
	}
	assert.True(t, s.Life().Heard.After(s.born), "that is life")
	_, err := io.ReadFull(server, buffer)
	require.NoError(t, err)
	require.NoError(t, <-written)
}

// The peer has taken bytes that waited for long only if some of them still waited longWait after they
// were seen. Bytes of messages that follow each other closely wait at every look.
func TestLastTaken(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is unknown what the peer has acknowledged")
	}
	client, server := tcpPair(t)
	require.NoError(t, client.SetWriteBuffer(8<<20))
	require.NoError(t, server.SetReadBuffer(64<<10))
	s := NewSocket(client, nil)
	NewConn(s, s, Agreed{}) // from here on, Write does not block
	const size = 1 << 20
	send := func() {
		_, err := s.Write(make([]byte, size))
		require.NoError(t, err)
	}
	receive := func(n int) {
		_, err := io.ReadFull(server, make([]byte, n))
		require.NoError(t, err)
	}
	later := func() { s.born = s.born.Add(-2 * longWait) }

	assert.Zero(t, s.LastTaken())
	send()
	for range 3 {
		assert.Zero(t, s.LastTaken())
		later()
		receive(size) // what the last look has seen
		send()
	}
	assert.Zero(t, s.LastTaken(), "all that waited was taken")
	later()
	assert.Zero(t, s.LastTaken(), "nothing was taken")
	for range 4 {
		later()
		before := time.Now()
		receive(size / 4)
		assert.False(t, s.LastTaken().Before(before))
		assert.False(t, s.Life().Waits.IsZero() && s.Life().Acked < 4*size)
	}
	last := s.LastTaken().Sub(s.born)
	later()
	assert.Equal(t, last, s.LastTaken().Sub(s.born), "nothing waits any more")
}

// Where a write may block, it shows that the peer is alive only if it has waited for the peer.
func TestLongWriteIsLife(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration // until the peer takes all of it
		life  bool
	}{
		{"at once", 0, false},
		{"soon", longWrite, false},
		{"late", longWrite + 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				s := NewSocket(client, nil)
				defer s.End()
				time.Sleep(time.Second)
				go func() {
					time.Sleep(tt.after)
					_, _ = io.ReadFull(server, make([]byte, oneWrite))
				}()
				_, err := s.Write(make([]byte, oneWrite))
				require.NoError(t, err)
				want := s.born
				if tt.life {
					want = time.Now()
				}
				assert.Equal(t, want, s.Life().Heard)
			})
		})
	}
}

// The cost of a look, which is made once for each heartbeat.
//
//	go test -run '^$' -bench Life ./internal/ws
func BenchmarkLife(b *testing.B) {
	client, _ := tcpPair(b)
	s := NewSocket(client, nil)
	b.ReportAllocs()
	for b.Loop() {
		s.Life()
	}
}
