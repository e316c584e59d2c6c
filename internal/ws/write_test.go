package ws

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWrittenFrames(t *testing.T) {
	large := strings.Repeat("0123456789", 20_000)
	s := inChunks(nil, 1)
	c := NewConn(s, nil, Agreed{})
	var want []sent
	for _, n := range []int{0, 1, 7, 8, 9, 125, 126, 65535, 65536, 200_000} {
		require.NoError(t, c.AppendMessage(n%2 == 0, []byte(large[:n])))
		want = append(want, sent{0x82 - byte(1-n%2), large[:n]})
	}
	require.NoError(t, c.AppendPing([]byte("ping")))
	require.NoError(t, c.AppendPong(nil))
	require.NoError(t, c.AppendClose(1000, "bye"))
	want = append(want, sent{0x89, "ping"}, sent{0x8a, ""}, sent{0x88, "\x03\xe8bye"})
	assert.Less(t, c.Written(), c.Appended())
	require.NoError(t, c.Flush())
	assert.Equal(t, want, framesOf(t, s.written.Bytes()))
	assert.EqualValues(t, s.written.Len(), c.Appended())
	assert.Equal(t, c.Appended(), c.Written())
	assert.Nil(t, c.out, "an idle connection holds no buffer")

	require.ErrorIs(t, c.AppendMessage(true, nil), net.ErrClosed, "after a close frame")
	require.ErrorIs(t, c.AppendPing(nil), net.ErrClosed)
	require.ErrorIs(t, c.AppendClose(1000, ""), net.ErrClosed)
	done, err := c.TryFlush()
	assert.True(t, done)
	assert.NoError(t, err)
}

func TestFramesThatMustNotBeSent(t *testing.T) {
	s := inChunks(nil, 1)
	c := NewConn(s, nil, Agreed{})
	require.Error(t, c.AppendPing(make([]byte, 126)))
	require.Error(t, c.AppendPong(make([]byte, 126)))
	require.Error(t, c.AppendClose(1006, ""))
	require.Error(t, c.AppendClose(1005, "a reason without a code"))
	require.Error(t, c.AppendClose(1000, strings.Repeat("x", 124)))
	require.Error(t, c.AppendClose(1000, "\xff"))
	require.NoError(t, c.AppendMessage(true, []byte("goes on")))
	require.NoError(t, c.AppendClose(1005, ""))
	require.NoError(t, c.Flush())
	assert.Equal(t, []sent{{0x81, "goes on"}, {0x88, ""}}, framesOf(t, s.written.Bytes()))
}

func TestDeflate(t *testing.T) {
	s := inChunks(nil, 1)
	c := NewConn(s, nil, Agreed{Compressed: true})
	var want []Message
	random := seeded(1)
	noise := make([]byte, 10_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	long := strings.Repeat("All work and no play makes Jack a dull boy. ", 50_000)
	for _, m := range []string{"short", long[:2000], string(noise), long, long[:2000]} {
		require.NoError(t, c.AppendMessage(true, []byte(m)))
		want = append(want, texts(m)...)
	}
	require.NoError(t, c.Flush())
	assert.Less(t, s.written.Len(), 50_000)
	var incoming []byte // as a server would send it
	var firsts []byte
	for _, f := range framesOf(t, s.written.Bytes()) {
		firsts = append(firsts, f.first)
		incoming = append(incoming, frame(f.first, f.payload)...)
	}
	assert.Equal(t, []byte{0x81, 0xc1, 0x81, 0xc1, 0xc1}, firsts, "what does not become smaller is not compressed")
	assert.Equal(t, want, receiveAll(NewConn(inChunks(incoming, 0), nil, Agreed{Compressed: true})).messages)
}

// A record of TLS of which the socket was not given all is not written, however much the socket has
// taken.
func TestAPlaceBehindAnError(t *testing.T) {
	var p place
	p.move(100, 0, 122, true)
	assert.EqualValues(t, 0, p.taken(121))
	assert.EqualValues(t, 100, p.taken(122))
	p.move(100, 122, 244, false)
	assert.EqualValues(t, 100, p.taken(243))
}
