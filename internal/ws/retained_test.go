package ws

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The messages of a batch are not in the memory that the next bytes are read into.
func TestMessagesOutliveTheNextReceive(t *testing.T) {
	c := NewConn(inChunks(frames(text("first"), text("other")), len(text("first"))), nil, Agreed{})
	first, err := c.Receive()
	require.NoError(t, err)
	other, err := c.Receive()
	require.NoError(t, err)
	assert.Equal(t, "first", string(first.Messages[0].Data))
	assert.Equal(t, "other", string(other.Messages[0].Data))
}

// What is in a pool retains neither a connection nor much memory.
func TestPoolsRetainLittle(t *testing.T) {
	c := NewConn(inChunks(frame(0xc1, newCompressor(false).compress("x")), 0), nil, Agreed{Compressed: true})
	require.Len(t, receiveAll(c).messages, 1)
	assert.Nil(t, inflaters.Get().(*inflater).conn)

	random := seeded(1)
	noise := make([]byte, 2*BufferSize)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	c = NewConn(&script{}, nil, Agreed{Compressed: true})
	require.NoError(t, c.AppendMessage(false, noise))
	require.NoError(t, c.Flush())
	assert.LessOrEqual(t, deflaters.Get().(*deflater).out.Cap(), BufferSize)

	large := make([]byte, 2*BufferSize+1)
	release(&large)
	for range 10 {
		assert.LessOrEqual(t, cap(*buffers.Get().(*[]byte)), 2*BufferSize)
	}
}

// A connection that has ended holds no large buffer.
func TestAConnectionThatHasEndedHoldsNoBuffer(t *testing.T) {
	c := NewConn(inChunks(frames(text(strings.Repeat("x", 10_000)), text("cut")[:4]), 1<<20), nil, Agreed{})
	require.ErrorIs(t, receiveAll(c).err, io.ErrUnexpectedEOF)
	assert.Nil(t, c.large)
}

// A large message, of which the first read has brought the beginning only, is incomplete. A block that
// is not compressed is read without a buffer.
func TestPartialOfALargeMessage(t *testing.T) {
	stored := "\x00\xff\x7f\x00\x80" + strings.Repeat("x", 0x7fff)
	for name, incoming := range map[string][]byte{
		"plain":      text(strings.Repeat("x", 100_000))[:100],
		"compressed": frame(0xc1, stored)[:4+5],
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				c := NewConn(client, nil, Agreed{Compressed: true})
				go func() { _, _ = c.Receive() }()
				synctest.Wait()
				assert.False(t, c.Partial())
				_, err := server.Write(incoming)
				require.NoError(t, err)
				synctest.Wait()
				assert.True(t, c.Partial())
				server.Close()
			})
		})
	}
}
