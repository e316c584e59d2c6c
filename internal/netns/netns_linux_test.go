package netns_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/internal/netns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTwoNamespaces(t *testing.T) {
	netns.Run(t, func(t *testing.T, here *netns.Namespace) {
		far := netns.New(t)
		here.IP("link set far0 netns " + far.Path())
		far.IP("link set far0 up", "address add 10.0.0.1/24 dev far0")
		var l net.Listener
		var err error
		far.Do(func() { l, err = net.Listen("tcp", "10.0.0.1:0") })
		require.NoError(t, err)
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		assert.Equal(t, "10.0.0.2", c.LocalAddr().(*net.TCPAddr).IP.String())
		_, err = net.Listen("tcp", "10.0.0.1:0")
		assert.Error(t, err, "that address is in the other namespace")
	})
}

// Also if the process's first thread is in one of the others.
func TestManyNamespaces(t *testing.T) {
	netns.Run(t, func(t *testing.T, here *netns.Namespace) {
		for range 20 {
			netns.New(t).IP("link add up0 type veth")
		}
		here.IP("route get 10.0.0.1")
		interfaces, err := net.Interfaces()
		require.NoError(t, err)
		names := []string{}
		for _, i := range interfaces {
			names = append(names, i.Name)
		}
		assert.ElementsMatch(t, []string{"lo", "up0", "far0"}, names)
	})
}
