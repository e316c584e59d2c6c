package natssim_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A timer that the NATS client keeps for later must not come into another bubble.
func TestBubblesFollowEachOther(t *testing.T) {
	for range 20 {
		natssim.Bubble(t, func(t *testing.T) {
			c := natssim.New(1, 1)
			defer c.Close()
			nc, err := nats.Connect(c.URLs(0), nats.SetCustomDialer(c.Dialer("a")))
			require.NoError(t, err)
			defer nc.Close()
			require.NoError(t, nc.Flush())
			require.NoError(t, nc.Flush())
		})
	}
}
