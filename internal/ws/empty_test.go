package ws

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An emptyConn returns neither bytes nor an error.
type emptyConn struct{ net.Conn }

func (emptyConn) Read([]byte) (int, error)  { return 0, nil }
func (emptyConn) Write([]byte) (int, error) { return 0, nil }
func (emptyConn) Close() error              { return nil }

// A connection that makes no progress and returns no error has failed. It is not called for ever.
func TestAConnectionWithoutProgress(t *testing.T) {
	s := NewSocket(emptyConn{}, nil)
	c := NewConn(s, s, Agreed{})
	_, err := c.Receive()
	assert.Equal(t, io.ErrNoProgress, err)
	require.NoError(t, c.AppendPing(nil))
	assert.Equal(t, io.ErrShortWrite, c.Flush())
	s.End()
}
