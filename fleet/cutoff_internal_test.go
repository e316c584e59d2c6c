package fleet

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

// A server is left when requests have timed out for long, but not because a caller does not wait for answers.
func TestImpatientCallersAreNoEvidence(t *testing.T) {
	natssim.Bubble(t, func(t *testing.T) {
		cluster := natssim.New(1, 3)
		defer cluster.Close()
		f, err := Open(t.Context(), WithNATS(cluster.URLs(0), nats.SetCustomDialer(cluster.Dialer("p"))), WithReplicas(3))
		require.NoError(t, err)
		defer f.Close()
		reconnects := func(timeout time.Duration) uint64 {
			for began := time.Now(); time.Since(began) < f.settled.Lease; {
				sent := time.Now()
				time.Sleep(timeout)
				_ = f.reached(sent, context.DeadlineExceeded)
			}
			time.Sleep(time.Second)
			return f.nc.Stats().Reconnects
		}
		assert.Zero(t, reconnects(5*time.Millisecond))
		assert.Positive(t, reconnects(f.settled.patience()))
	})
}
