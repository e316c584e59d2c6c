package trials_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// What one process has written about a room is known to another one, on any server, at once.
func TestWhatIsWrittenIsReadOnEveryServer(t *testing.T) {
	const rooms = 200
	c := newCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var fleets [nodes]*fleet.Fleet
	for i := range nodes {
		f, err := fleet.Open(ctx, fleet.WithName("written"), fleet.WithReplicas(nodes), fleet.WithNATS("nats://"+c.addr(i), nats.IgnoreDiscoveredServers()))
		require.NoError(t, err)
		t.Cleanup(f.Close)
		fleets[i] = f
	}
	for n := range rooms {
		on := func(step int) *fleet.Fleet { return fleets[(n+step)%nodes] }
		spec := fleet.Spec{ID: fmt.Sprint("room-", n), Endpoint: "ws://server.example"}
		require.NoError(t, on(0).Control().Add(ctx, spec))
		require.NoError(t, on(1).Send(ctx, spec.ID, wechatws.Text("{}")))
		require.ErrorIs(t, on(2).Control().Add(ctx, spec), fleet.ErrRoomExists)
		spec.Endpoint += "/again"
		require.NoError(t, on(2).Control().Update(ctx, spec))
		require.NoError(t, on(1).Control().Update(ctx, spec))
		undelivered, err := on(0).Control().Remove(ctx, spec.ID)
		require.NoError(t, err)
		require.EqualValues(t, 1, undelivered)
		require.ErrorIs(t, on(1).Send(ctx, spec.ID, wechatws.Text("{}")), fleet.ErrNoRoom)
		require.NoError(t, on(2).Control().Add(ctx, spec))
	}
}
