package trials_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// A NATS server whose port is in use reports that, and ends.
func TestAServerThatCannotListenEndsAtOnce(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir()}
	require.True(t, c.begin())
	c.kill(1)
	taken, err := net.Listen("tcp", c.addr(1))
	require.NoError(t, err)
	defer taken.Close()
	require.ErrorContains(t, c.launch(1), "address already in use")
}
