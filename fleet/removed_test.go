package fleet_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// Of a room that is removed nothing is left in any claim, whatever became of its holder.
func TestNothingIsLeftOfARoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const lease = 2 * time.Second
	server, err := fleet.Open(w.ctx(), fleet.WithListen("127.0.0.1:0", ""), fleet.WithLease(lease))
	require.NoError(t, err)
	t.Cleanup(server.Close)
	nc, err := nats.Connect(server.URL())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	rooms, err := js.KeyValue(w.ctx(), "wechatws-rooms")
	require.NoError(t, err)
	w.fleet = server
	room := w.roomOf("b", "a")
	apart := func() bool {
		claim, err := rooms.Get(w.ctx(), fmt.Sprint("claim.", placement.Shard(room, 4096)))
		return err == nil && strings.Contains(string(claim.Value()), room)
	}
	left := func() bool { // in any key
		watch, err := rooms.WatchAll(w.ctx(), jetstream.IgnoreDeletes())
		require.NoError(t, err)
		defer watch.Stop()
		for e := range watch.Updates() {
			if e == nil {
				return false
			}
			if strings.Contains(e.Key()+string(e.Value()), room) {
				return true
			}
		}
		return false
	}

	for what, lose := range map[string]func(holder *running, connection *fleet.Fleet){
		"it holds the room": func(*running, *fleet.Fleet) {},
		"it has drained":    func(holder *running, _ *fleet.Fleet) { holder.stop() },
		"it is lost":        func(_ *running, connection *fleet.Fleet) { connection.Close() },
	} {
		t.Run(what, func(t *testing.T) {
			w := &world{T: t, srv: w.srv}
			connection, err := fleet.Open(w.ctx(), fleet.WithNATS(server.URL()))
			require.NoError(t, err)
			defer connection.Close()
			w.fleet = connection
			ctx := w.ctx()
			holder := w.unsupervised("a")
			require.NoError(t, server.Control().Add(ctx, w.spec(room)))
			require.Eventually(t, func() bool { s, err := server.Control().Get(ctx, room); return err == nil && s.Worker == "a" }, patience, tick)
			w.fleet = server
			b := w.worker("b") // which the shard belongs to
			require.NoError(t, server.Control().Move(ctx, room, "a"))
			require.Eventually(t, func() bool { return apart() }, patience, tick)
			require.True(t, left())
			lose(holder, connection)
			_, err = server.Control().Remove(ctx, room)
			require.NoError(t, err)
			require.Eventually(t, func() bool { return !left() }, patience, tick)
			holder.stop()
			b.stop()
		})
	}
}

// unsupervised is a worker whose Run may end with an error: its connection is closed.
func (w *world) unsupervised(name string) *running {
	worker, err := w.fleet.NewWorker(quietly, fleet.WithWorkerName(name))
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = worker.Run(ctx)
	}()
	stop := func() {
		cancel()
		<-ended
	}
	w.Cleanup(stop)
	return &running{worker, stop}
}
