package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/audit"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// A shardWorld is a world whose fleet has one shard, with so many rooms.
type shardWorld struct {
	*world
	rooms int
	by    map[string]*fleet.Fleet // the connection of each worker
}

// shardLease is the lease in a shardWorld.
const shardLease = 4 * time.Second

func newShardWorld(t *testing.T, rooms int) *shardWorld {
	t.Helper()
	w := &shardWorld{world: newWorldOf(t, fleet.WithShards(1), fleet.WithListen("127.0.0.1:0", ""), fleet.WithLease(shardLease), fleet.WithDir(t.TempDir())), rooms: rooms, by: map[string]*fleet.Fleet{}}
	w.add(rooms)
	return w
}

// ranked returns names of workers, each of which the shard prefers to those before it.
func ranked(n int) (names []string) {
	best := uint64(0)
	for i := 0; len(names) < n; i++ {
		name := fmt.Sprint("w", i)
		if score := placement.Score(placement.HashOf(0), placement.Hash(name)); score > best {
			best = score
			names = append(names, name)
		}
	}
	return names
}

// joins starts a worker on a connection of its own, whose clients join their rooms with a message.
func (w *shardWorld) joins(name string, options ...fleet.WorkerOption) *running {
	w.Helper()
	f, err := fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()))
	require.NoError(w, err)
	w.Cleanup(f.Close)
	w.by[name] = f
	worker, err := f.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		c, err := r.NewClient(fmt.Sprint(r.Endpoint, "&worker=", name, "&fence=", r.Fence), wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness())
		if err == nil {
			c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { _ = c.Send(ctx, wechatws.Text("join")) })
		}
		return c, err
	}, append(options, fleet.WithWorkerName(name))...)
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = worker.Run(ctx)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	w.Cleanup(stop)
	return &running{worker, stop}
}

// untilHeld waits until a worker holds so many rooms, and all are open.
func (w *shardWorld) untilHeld(name string, n int) {
	w.Helper()
	w.until(fmt.Sprint(name, " holds ", n), func(r map[string]fleet.Status) bool { return len(r) == w.rooms && heldBy(r)[name] == n })
	require.Eventually(w, func() bool { return w.srv.OpenConns() == w.rooms }, patience, tick)
}

// talk sends a message in each room that is connected, again and again, until stop is called.
func (w *shardWorld) talk() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var talking sync.WaitGroup
	talking.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			for _, c := range w.srv.Conns() {
				_ = c.Send(fmt.Sprintf(`{"msg_type":"n","n":%d}`, n))
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); talking.Wait() })
	w.Cleanup(stop)
	return stop
}

// inOrder receives messages until each room has sent one that its holder at the end has received, and checks
// that those of each room are in order, by fence and by number.
func (w *shardWorld) inOrder(got *got, holder string) {
	w.Helper()
	type last struct {
		n     int
		fence uint64
	}
	seen, done, handled := map[string]last{}, map[string]bool{}, map[uint64]bool{}
	for len(done) < w.rooms {
		m := got.next()
		if handled[m.Seq] {
			continue // a message may be handled again, when the handlers were slow to renew their claim
		}
		handled[m.Seq] = true
		var said struct{ N int }
		require.NoError(w, json.Unmarshal(m.Data, &said))
		before := seen[m.Room]
		require.Greater(w, said.N, before.n, "%s: %+v", m.Room, m)
		require.GreaterOrEqual(w, m.Fence, before.fence, "%s: %+v", m.Room, m)
		seen[m.Room] = last{said.N, m.Fence}
		if m.Worker == holder {
			done[m.Room] = true
		}
	}
}

// Rooms of a shard are handed over one after the other: each is empty only while it moves itself.
func TestAShardMovesRoomByRoom(t *testing.T) {
	const rate = 20
	w := newShardWorld(t, 20)
	names := ranked(2)
	w.joins(names[0], fleet.WithMoveRate(rate))
	w.untilHeld(names[0], w.rooms)
	got := w.handle("g")
	stop := w.talk()
	began := time.Now()
	w.joins(names[1])
	w.untilHeld(names[1], w.rooms)
	ended := time.Now()
	time.Sleep(time.Second) // the new holders receive something
	stop()
	holds := audit.Holds(w.srv.Events())
	assert.Empty(t, audit.TwoSockets(holds))
	gaps := audit.Between(holds, began, time.Now()) // the last room's new holder may have received nothing when it ended
	assert.Len(t, gaps, w.rooms)
	moving := time.Duration(w.rooms-1) * time.Second / rate
	assert.GreaterOrEqual(t, ended.Sub(began), moving)
	assert.Less(t, audit.Percentile(gaps, 0.5), ended.Sub(began)/3, "the whole shard takes longer: %v", gaps)
	w.inOrder(got, names[1])

	claims, err := w.jetStream().KeyValue(w.ctx(), "wechatws-rooms")
	require.NoError(t, err)
	claim, err := claims.Get(w.ctx(), "claim.0")
	require.NoError(t, err)
	assert.NotContains(t, string(claim.Value()), "apart", "no room is apart any more")
}

// Whichever worker is lost while a shard moves, the other one gets all rooms.
func TestAWorkerIsLostWhileAShardMoves(t *testing.T) {
	t.Parallel()
	names := ranked(2)
	for lost, left := range map[string]string{names[0]: names[1], names[1]: names[0]} {
		t.Run(lost, func(t *testing.T) {
			w := newShardWorld(t, 20)
			w.joins(names[0], fleet.WithMoveRate(10))
			w.untilHeld(names[0], w.rooms)
			got := w.handle("g")
			stop := w.talk()
			w.joins(names[1])
			w.until("some are handed over", func(r map[string]fleet.Status) bool { n := heldBy(r)[names[1]]; return n > 3 && n < 15 })
			w.by[lost].Close()
			w.untilHeld(left, w.rooms)
			time.Sleep(time.Second)
			stop()
			assert.Empty(t, audit.TwoSockets(audit.Holds(w.srv.Events())))
			w.inOrder(got, left)
		})
	}
}

// A worker that joins while a shard moves to another one gets it.
func TestAShardMovesOnWhileItMoves(t *testing.T) {
	t.Parallel()
	names := ranked(3)
	w := newShardWorld(t, 20)
	w.joins(names[0], fleet.WithMoveRate(10))
	w.untilHeld(names[0], w.rooms)
	got := w.handle("g")
	stop := w.talk()
	second := w.joins(names[1])
	w.until("some are handed over", func(r map[string]fleet.Status) bool { return heldBy(r)[names[1]] > 3 })
	w.joins(names[2])
	w.untilHeld(names[2], w.rooms)
	second.stop()
	time.Sleep(time.Second)
	stop()
	assert.Empty(t, audit.TwoSockets(audit.Holds(w.srv.Events())))
	w.inOrder(got, names[2])
}

// One room of a shard can be on another worker than the others, wherever these go.
func TestARoomIsMovedOutOfItsShard(t *testing.T) {
	t.Parallel()
	names := ranked(2)
	w := newShardWorld(t, 5)
	control := w.fleet.Control()
	w.joins(names[0])
	second := w.joins(names[1])
	w.untilHeld(names[1], 5)
	got := w.handle("g")
	stop := w.talk()
	require.NoError(t, control.Move(w.ctx(), "r0", names[0]))
	w.untilHeld(names[1], 4)
	s, err := control.Get(w.ctx(), "r0")
	require.NoError(t, err)
	assert.Equal(t, names[0], s.Worker)

	second.stop()
	w.untilHeld(names[0], 5)
	w.joins(names[1])
	w.untilHeld(names[1], 4)
	s, err = control.Get(w.ctx(), "r0")
	require.NoError(t, err)
	assert.Equal(t, names[0], s.Worker)

	require.NoError(t, control.Move(w.ctx(), "r0", ""))
	w.untilHeld(names[1], 5)
	time.Sleep(time.Second)
	stop()
	assert.Empty(t, audit.TwoSockets(audit.Holds(w.srv.Events())))
	w.inOrder(got, names[1])
}

// A shard may have more rooms than NATS returns in answer to one request.
func TestAShardOfManyRooms(t *testing.T) {
	t.Parallel()
	const rooms = 1100
	w := newShardWorld(t, rooms)
	var mu sync.Mutex
	tried := map[string]bool{}
	all := make(chan bool)
	w.workerReporting(func(string, error) {}, func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		mu.Lock()
		defer mu.Unlock()
		if !tried[r.ID] {
			if tried[r.ID] = true; len(tried) == rooms {
				close(all)
			}
		}
		return nil, errors.New("this test makes no clients")
	}, fleet.WithWorkerName("a"))
	select {
	case <-all:
	case <-w.ctx().Done():
		mu.Lock()
		defer mu.Unlock()
		assert.Len(t, tried, rooms)
	}
}

// A worker finds a room whose notification was lost.
func TestANotificationIsLost(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t, 1)
	js := w.jetStream()
	s, err := js.Stream(w.ctx(), "KV_wechatws-rooms")
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	require.NotNil(t, cfg.RePublish)
	cfg.RePublish = nil
	_, err = js.UpdateStream(w.ctx(), cfg)
	require.NoError(t, err)
	a := w.joins("a")
	require.Eventually(t, func() bool { return a.Stats().Rooms == 1 }, patience, tick)
	require.NoError(t, w.fleet.Control().Add(w.ctx(), w.spec("new")))
	require.Eventually(t, func() bool { return a.Stats().Rooms == 2 }, 90*time.Second, tick, "shards are read again")
}

// A worker takes no more rooms than it may, another one takes the rest, and it keeps what it has.
func TestMaxRooms(t *testing.T) {
	t.Parallel()
	const rooms, most = 60, 20
	w := newWorld(t)
	w.add(rooms)
	a := w.workerWith(quietly, fleet.WithWorkerName("a"), fleet.WithMaxRooms(most))
	require.Eventually(t, func() bool { s := a.Stats(); return s.Rooms > most*7/8 && s.Unheld > 0 }, patience, tick)
	taken := a.Stats().Taken
	assert.LessOrEqual(t, taken, int64(most))
	b := w.worker("b")
	w.until("b has the rest", func(r map[string]fleet.Status) bool { return heldBy(r)["a"]+heldBy(r)["b"] == rooms })
	assert.LessOrEqual(t, a.Stats().Rooms, most)
	require.Eventually(t, func() bool { return b.Stats().Unheld == 0 }, patience, tick)
}

// A shard that has more rooms than a worker may hold is left to another one.
func TestAShardIsTooLargeForAWorker(t *testing.T) {
	names := ranked(2)
	w := newShardWorld(t, 10)
	small := w.joins(names[1], fleet.WithMaxRooms(5))
	w.joins(names[0])
	w.untilHeld(names[0], 10)
	assert.Zero(t, small.Stats().Taken)
}
