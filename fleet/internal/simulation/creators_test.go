package simulation_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// A process that finds no settings, since another one is about to make the fleet, opens that fleet, also when the
// other one has added a room before the process looks for one.
func TestTwoProcessesMakeAFleet(t *testing.T) {
	virtual(t, 21, servers, 0, func(w *world) {
		name := fleet.WithName("other")
		var waits, added atomic.Bool
		w.cluster.OnRead(func(process, subject string) time.Duration {
			if process != "slow" || subject != "$KV.other-rooms.claim.*" || added.Load() {
				return 0
			}
			waits.Store(true)
			return time.Millisecond
		})
		w.starting.Go(func() {
			for !waits.Load() {
				time.Sleep(time.Millisecond)
			}
			fast, err := w.tryOpen("fast", 0, name, fleet.WithShards(7), fleet.WithReplicas(3))
			if err == nil {
				err = fast.fleet.Control().Add(w.Context(), fleet.Spec{ID: "r"})
			}
			assert.NoError(w, err)
			added.Store(true)
		})
		slow := w.open("slow", 1, name, fleet.WithReplicas(3))
		require.True(w, added.Load())
		_, err := slow.fleet.Control().Get(w.Context(), "r")
		require.NoError(w, err, "it has the settings of the other one")
	})
}
