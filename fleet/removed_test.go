package fleet_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// Of a room that is removed nothing is left among the claims, whatever became of its holder.
func TestNothingIsLeftOfARoom(t *testing.T) {
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
	claims, err := js.KeyValue(w.ctx(), "wechatws-claims")
	require.NoError(t, err)
	w.fleet = server
	room := w.roomOf("a", "b")
	left := func() bool { // a key that is there
		_, err := claims.Get(w.ctx(), room)
		return err == nil
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
			w.conn(room)
			require.True(t, left())
			lose(holder, connection)
			_, err = server.Control().Remove(ctx, room)
			require.NoError(t, err)
			w.fleet = server
			w.worker("b")
			require.Eventually(t, func() bool { return !left() }, patience, tick)
			holder.stop()
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
