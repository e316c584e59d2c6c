package trials_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// How many messages rooms bring in that send as fast as they can, without a budget. The figures are in
// docs/fleet-scale.md: the default budget of a room must be below them.
func TestRoomsThatSendAsFastAsTheyCan(t *testing.T) {
	c := newCluster(t)
	for _, one := range []struct {
		rooms  int
		shards int // of the fleet
	}{{1, shards}, {8, 1}, {8, shards}} {
		rate := c.bringsIn(t, one.rooms, one.shards)
		t.Logf("%2d rooms in %d of %d shards: %.0f messages/s", one.rooms, min(one.rooms, one.shards), one.shards, rate)
		require.Positive(t, rate)
	}
}

// bringsIn returns how many messages a second a new fleet stores.
func (c *cluster) bringsIn(t *testing.T, rooms, shards int) (rate float64) {
	srv := wstest.NewServer(wstest.WithoutRecords())
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f, err := fleet.Open(ctx, fleet.WithName(fmt.Sprint("fast-", rooms, "-", shards)), fleet.WithNATS(c.url()), fleet.WithReplicas(nodes), fleet.WithShards(shards))
	require.NoError(t, err)
	defer f.Close()
	for n := range rooms { // each in another shard, if there are several
		require.NoError(t, f.Control().Add(ctx, fleet.Spec{ID: fmt.Sprint("room-", n), Endpoint: srv.URL()}))
	}
	w, err := f.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint, wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness())
	}, fleet.WithWorkerName("a"), fleet.WithRoomBudget(1e9, 1e12))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	for range rooms {
		conn, err := srv.NextConn(ctx)
		require.NoError(t, err)
		go func() {
			for conn.Send(`{"msg_type":"message","content":"what a visitor of a room writes"}`) == nil {
			}
		}()
	}
	const warm, measured = 2 * time.Second, 5 * time.Second
	time.Sleep(warm)
	before, began := w.Stats().In, time.Now()
	time.Sleep(measured)
	rate = float64(w.Stats().In-before) / time.Since(began).Seconds()
	srv.Close()
	cancel()
	require.NoError(t, <-ended)
	return rate
}
