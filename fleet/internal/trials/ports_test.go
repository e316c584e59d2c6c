package trials_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// A NATS server whose port something else has taken says so, and does not stay.
func TestAServerThatCannotListenEndsAtOnce(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir()}
	for i := range nodes {
		c.ports[i], c.routes[i] = freePort(t), freePort(t)
	}
	taken, err := net.Listen("tcp", c.addr(1))
	require.NoError(t, err)
	defer taken.Close()
	require.NoError(t, c.launch(0))
	require.ErrorContains(t, c.launch(1), "address already in use")
}
