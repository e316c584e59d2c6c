package wechatws

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// While the server does not answer, addresses of other interfaces come and go, as on
// a container host: the attempt goes on. When its own address goes, another attempt
// begins at once.
func TestAnAttemptGoesOnUntilItsOwnRouteIsGone(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.lose(serverIP)
		j.ip("link add br0 type veth peer name pod0", "link set pod0 up", "link set br0 up")
		dialed := make(chan struct{}, 100)
		dialer := net.Dialer{Control: func(string, string, syscall.RawConn) error {
			dialed <- struct{}{}
			return nil
		}}
		c, err := New(j.server.URL(), WithProxy(nil), WithNetDial(dialer.DialContext), WithDialTimeout(time.Minute),
			WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
		require.NoError(t, err)
		changes := make(chan NetworkStatus, 100)
		c.OnNetworkChange(func(_ context.Context, s NetworkStatus) { changes <- s })
		connected := make(chan error, 1)
		go func() { connected <- c.Connect(t.Context()) }()
		<-dialed
		for range 3 {
			j.ip("address add 172.17.0.1/16 dev br0")
			<-changes
			j.ip("address del 172.17.0.1/16 dev br0")
			<-changes
		}
		require.Equal(t, StateConnecting, c.State())
		j.ip("address del 10.0.0.2/24 dev up0", "address add 10.0.0.3/24 dev up0", "route add default via 10.0.0.1")
		<-changes
		<-dialed
		j.find(serverIP)
		require.NoError(t, <-connected)
		assert.Equal(t, 2, c.Stats().Attempts)
		require.NoError(t, c.Close(StatusNormalClosure, ""))
	})
}
