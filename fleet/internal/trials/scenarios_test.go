package trials_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/audit"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

const (
	roomCount = 90
	patience  = 60 * time.Second
	// away is longer than the default lease.
	away = 12 * time.Second
)

// A trial is a fleet of three workers on a cluster of three servers, and what is said
// in its rooms all the while.
type trial struct {
	*testing.T
	cluster *cluster
	backend *liveroomtest.Backend
	fleet   *fleet.Fleet
	traffic *traffic
	workers map[string]*worker
}

func TestFleet(t *testing.T) {
	tr := &trial{T: t, cluster: newCluster(t), workers: map[string]*worker{}}
	tr.backend = liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	t.Cleanup(tr.backend.Close)
	opening, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f, err := fleet.Open(opening, fleet.Config{URL: tr.cluster.url(), Replicas: nodes})
	require.NoError(t, err)
	t.Cleanup(f.Close)
	tr.fleet = f
	tr.traffic = &traffic{backend: tr.backend, fleet: f}
	for n := range roomCount {
		id := fmt.Sprint("room-", n)
		tr.traffic.rooms = append(tr.traffic.rooms, id)
		require.NoError(t, f.Control().Add(opening, fleet.Spec{ID: id, Endpoint: tr.backend.URL()}))
	}
	for _, name := range []string{"a", "b", "c"} {
		tr.start(name)
	}
	tr.untilHeld()
	tr.traffic.start(t)
	defer tr.traffic.end()

	t.Run("a worker is killed", func(t *testing.T) {
		r := tr.begin(t, "a")
		tr.workers["a"].kill()
		tr.untilHeld("a")
		r.lost("a")
		r.undisturbed()
		r.report()
	})
	tr.restart("a")
	t.Run("a worker is stopped and continued", func(t *testing.T) {
		r := tr.begin(t, "b")
		r.stopped = true
		require.NoError(t, tr.workers["b"].Process.Signal(syscall.SIGSTOP))
		tr.untilHeld("b")
		time.Sleep(away - time.Since(r.began)) // what it is about
		require.NoError(t, tr.workers["b"].Process.Signal(syscall.SIGCONT))
		tr.untilHolds("b")
		r.lost("b")
		r.undisturbed()
		r.report()
	})
	t.Run("a worker is cut off from NATS", func(t *testing.T) {
		r := tr.begin(t, "c")
		tr.workers["c"].cutNATS()
		tr.untilHeld("c")
		time.Sleep(away - time.Since(r.began))
		tr.workers["c"].mendNATS()
		tr.untilHolds("c")
		r.lost("c")
		r.undisturbed()
		r.report()
	})
	t.Run("a worker is cut off from the rooms", func(t *testing.T) {
		r := tr.begin(t, "a")
		tr.workers["a"].toRooms.cut()
		time.Sleep(away)
		tr.workers["a"].toRooms.mend()
		tr.untilJoined()
		r.undisturbed()
		r.report()
	})
	t.Run("a NATS server is killed that leads nothing of the leases", func(t *testing.T) {
		r := tr.begin(t)
		node := (tr.leader() + 1) % nodes
		tr.cluster.kill(node)
		time.Sleep(away)
		tr.cluster.start(node)
		tr.untilReplicated()
		r.undisturbed()
		r.report()
	})
	t.Run("the NATS server is killed that leads the leases", func(t *testing.T) {
		r := tr.begin(t)
		node := tr.leader()
		tr.cluster.kill(node)
		time.Sleep(away)
		tr.cluster.start(node)
		tr.untilReplicated()
		tr.untilLeasesAreDecided()
		r.report() // whether workers outlive the election is a matter of how long it takes
	})
	t.Run("all of NATS is restarted", func(t *testing.T) {
		r := tr.begin(t)
		for i := range nodes {
			tr.cluster.kill(i)
		}
		for i := range nodes {
			tr.cluster.start(i)
		}
		tr.untilReplicated()
		tr.untilLeasesAreDecided()
		r.report() // as above
	})
	t.Run("a worker is drained and another joins", func(t *testing.T) {
		r := tr.begin(t, "b")
		require.NoError(t, tr.workers["b"].Process.Signal(syscall.SIGTERM))
		<-tr.workers["b"].ended
		tr.untilHeld("b")
		r.undisturbed()
		tr.start("d")
		tr.untilHolds("d")
		r.report()
	})

	tr.traffic.stop()
	tr.traffic.talking.Wait()
	tr.settle()
}

func (tr *trial) start(name string) {
	tr.workers[name] = startWorker(tr.T, name, tr.cluster, tr.backend.Server().Addr())
}

// restart starts a worker again that was killed, and waits until it has its rooms back.
func (tr *trial) restart(name string) {
	tr.start(name)
	tr.untilHolds(name)
}

// watch waits until all rooms are as wanted.
func (tr *trial) watch(what string, want func(held map[string]int) bool) {
	tr.Helper()
	ctx, cancel := context.WithTimeoutCause(tr.Context(), patience, errors.New("not "+what+" in time"))
	defer cancel()
	rooms := map[string]string{}
	for s, err := range tr.fleet.Control().Watch(ctx) {
		if err != nil { // NATS is away
			require.NoError(tr, ctx.Err())
			tr.watch(what, want)
			return
		}
		rooms[s.ID] = s.Worker
		held := map[string]int{}
		for _, w := range rooms {
			held[w]++
		}
		if len(rooms) == roomCount && want(held) {
			break
		}
	}
	tr.untilJoined()
}

// untilHeld waits until all rooms are held by workers other than these.
func (tr *trial) untilHeld(lost ...string) {
	tr.Helper()
	tr.watch("held by others", func(held map[string]int) bool {
		return held[""] == 0 && !slices.ContainsFunc(lost, func(w string) bool { return held[w] > 0 })
	})
}

// untilHolds waits until a worker has its share.
func (tr *trial) untilHolds(name string) {
	tr.Helper()
	tr.watch("held by "+name, func(held map[string]int) bool { return held[""] == 0 && held[name] > roomCount/6 })
}

// untilJoined waits until somebody is in every room.
func (tr *trial) untilJoined() {
	tr.Helper()
	tr.until("joined", func() bool {
		return !slices.ContainsFunc(tr.traffic.rooms, func(room string) bool { return tr.backend.Viewers(room) == 0 })
	})
}

func (tr *trial) until(what string, done func() bool) {
	tr.Helper()
	for began := time.Now(); !done(); time.Sleep(50 * time.Millisecond) {
		require.Less(tr, time.Since(began), patience, "waiting until %s", what)
	}
}

// leases is the state of the stream that leases are in.
func (tr *trial) leases() (*jetstream.StreamInfo, error) {
	nc, err := nats.Connect(tr.cluster.url())
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(tr.Context(), time.Second)
	defer cancel()
	s, err := js.Stream(ctx, "KV_wechatws-leases")
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// leader is which server leads the leases.
func (tr *trial) leader() (node int) {
	tr.Helper()
	tr.until("there is a leader", func() bool {
		info, err := tr.leases()
		if err != nil || info.Cluster.Leader == "" {
			return false
		}
		_, err = fmt.Sscanf(info.Cluster.Leader, "node%d", &node)
		return err == nil
	})
	return node
}

// untilReplicated waits until all servers are up to date again.
func (tr *trial) untilReplicated() {
	tr.Helper()
	tr.until("all servers are up to date", func() bool {
		info, err := tr.leases()
		return err == nil && info.Cluster.Leader != "" && len(info.Cluster.Replicas) == nodes-1 &&
			!slices.ContainsFunc(info.Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
	})
}

// untilLeasesAreDecided waits for as long as a lease lasts that can be renewed no more: then
// all that were lost are lost, and their rooms are taken.
func (tr *trial) untilLeasesAreDecided() {
	tr.Helper()
	time.Sleep(8 * time.Second)
	tr.untilHeld()
}

// A run is one part of the trial.
type run struct {
	*testing.T
	trial   *trial
	hurt    []string // workers that something is done to
	began   time.Time
	figure  string
	stopped bool // a process was, and its sockets are there all the while
	sockets int  // of rooms that were held by two before, though one of them was silent
}

func (tr *trial) begin(t *testing.T, hurt ...string) *run {
	tr.untilHeld()
	sockets := len(audit.TwoSockets(audit.Holds(tr.backend.Server().Events())))
	return &run{T: t, trial: tr, hurt: hurt, began: time.Now(), sockets: sockets}
}

// lost checks how soon the rooms of a worker were back.
func (r *run) lost(name string) {
	back, missing := audit.Gaps(audit.Holds(r.trial.backend.Server().Events()), name, r.began)
	assert.Zero(r, missing, "rooms that are not back")
	p99 := audit.Percentile(back, 0.99)
	r.figure = fmt.Sprintf("%d rooms back after %.1f s, p99 %.1f s; ", len(back), audit.Percentile(back, 0.5).Seconds(), p99.Seconds())
	assert.LessOrEqual(r, p99, 10*time.Second)
}

// disturbed counts connections that workers have made again to rooms that were theirs already,
// and to which nothing was done.
func (r *run) disturbed() (n int) {
	holds := audit.Holds(r.trial.backend.Server().Events())
	for i := 1; i < len(holds); i++ {
		a, b := holds[i-1], holds[i]
		if a.Room == b.Room && a.Worker == b.Worker && b.From.After(r.began) && !slices.Contains(r.hurt, b.Worker) {
			n++
		}
	}
	return n
}

func (r *run) undisturbed() { assert.Zero(r, r.disturbed(), "rooms of other workers") }

// report says what holds in every case, and has come of it.
func (r *run) report() {
	holds := audit.Holds(r.trial.backend.Server().Events())
	twice := audit.Twice(holds)
	assert.Empty(r, twice, "rooms held twice")
	r.trial.traffic.mu.Lock()
	in := r.trial.traffic.in
	published, again, disorder, fences := in.total(), in.duplicates, in.disorder, r.trial.traffic.fences
	r.trial.traffic.mu.Unlock()
	assert.Zero(r, again, "messages that are twice in the stream")
	assert.Zero(r, disorder, "messages out of order in the stream")
	assert.Zero(r, fences, "messages of a former holder behind those of a later one")
	sockets := len(audit.TwoSockets(holds)) - r.sockets
	if !r.stopped {
		assert.Zero(r, sockets, "connections of a former holder that are there still")
	}
	r.Logf("%srooms of others disturbed %d; held twice %d (sockets %d); in %d, twice %d, out of order %d",
		r.figure, r.disturbed(), len(twice), sockets, published, again, disorder)
}

// settle counts what was sent to the rooms, when nothing is under way any more.
func (tr *trial) settle() {
	rooms := map[int]string{}
	for _, c := range tr.backend.Server().Conns() {
		rooms[c.ID()] = c.Request().URL.Query().Get("room")
	}
	var confirmed, plain counted
	var lostConfirmed, lostPlain int
	count := func(events []wstest.Event) {
		confirmed, lostConfirmed = tr.traffic.outbound(events, "confirmed", rooms, tr.traffic.confirm)
		plain, lostPlain = tr.traffic.outbound(events, "plain", rooms, tr.traffic.plain)
	}
	waiting := func() int {
		info, err := func() (*jetstream.StreamInfo, error) {
			nc, err := nats.Connect(tr.cluster.url())
			if err != nil {
				return nil, err
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(tr.Context(), time.Second)
			defer cancel()
			s, err := js.Stream(ctx, "wechatws-out")
			if err != nil {
				return nil, err
			}
			i, err := s.Info(ctx, jetstream.WithSubjectFilter("wechatws.out.>"))
			return i, err
		}()
		if err != nil {
			return -1
		}
		return int(info.State.Msgs)
	}
	tr.until("all is delivered", func() bool { return waiting() == 0 })
	count(tr.backend.Server().Events())
	tr.traffic.end()
	tr.traffic.ending.Wait()
	assert.Zero(tr, lostConfirmed, "confirmed messages to rooms that are lost")
	assert.Zero(tr, confirmed.disorder, "confirmed messages out of order")
	assert.Zero(tr, plain.disorder, "plain messages out of order")
	tr.Logf("to rooms, confirmed: %d, lost %d, written again %d, out of order %d", confirmed.total(), lostConfirmed, confirmed.duplicates, confirmed.disorder)
	tr.Logf("to rooms, plain: %d, lost %d (in sockets of processes that were killed or cut off), written again %d, out of order %d", plain.total(), lostPlain, plain.duplicates, plain.disorder)
	tr.Logf("Sends that NATS refused, and that were tried again: %d", tr.traffic.failed)
}
