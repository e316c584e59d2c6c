package trials_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/placement"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// patience is how long anything may take that is waited for.
const patience = 60 * time.Second

// A trial is a fleet on a cluster, with a backend of its own, and what is said in its rooms.
type trial struct {
	*testing.T            // the scenario's while there is one
	whole      *testing.T // processes end with it
	cluster    *cluster
	name       string
	lease      time.Duration
	backend    *liveroomtest.Backend
	fleet      *fleet.Fleet
	traffic    *traffic
	handled    handled
	workers    map[string]*worker // by label
	before     counts             // at the end of the last scenario
	read       []published        // of the stream
	rows       []row
}

func newTrial(t *testing.T, c *cluster, name string, lease time.Duration, rooms int, workers ...string) *trial {
	t.Helper()
	tr := &trial{T: t, whole: t, cluster: c, name: name, lease: lease, workers: map[string]*worker{}}
	tr.backend = liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	t.Cleanup(tr.backend.Close)
	opening, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f, err := fleet.Open(opening, fleet.WithName(name), fleet.WithLease(lease), fleet.WithNATS(c.url()), fleet.WithReplicas(nodes))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	tr.fleet = f
	tr.traffic = &traffic{backend: tr.backend, fleet: f, said: map[string]int{}, sent: map[string][]sent{}}
	for n := range rooms {
		id := fmt.Sprint("room-", n)
		tr.traffic.rooms = append(tr.traffic.rooms, id)
		require.NoError(t, f.Control().Add(opening, fleet.Spec{ID: id, Endpoint: tr.backend.URL()}))
	}
	for _, w := range workers {
		tr.start(w, w)
	}
	tr.untilSettled()
	startHandling(t, f, &tr.handled)
	return tr
}

func (tr *trial) start(name, label string) {
	tr.workers[label] = startWorker(tr.whole, tr.name, name, label, tr.cluster, tr.backend.Server().Addr())
}

// have starts a worker unless it is there: -run may have left scenarios out.
func (tr *trial) have(name string) {
	if tr.workers[name] == nil {
		tr.start(name, name)
	}
}

// drain ends a worker as it wants to be ended.
func (tr *trial) drain(label string) {
	tr.Helper()
	w := tr.workers[label]
	require.NoError(tr, w.terminate())
	require.True(tr, w.ProcessState.Success(), "worker %s has ended with an error", label)
	delete(tr.workers, label)
}

func (tr *trial) kill(label string) {
	tr.workers[label].kill()
	delete(tr.workers, label)
}

// streams are all that the fleet stands on.
func (tr *trial) streams() []string {
	return append(tr.leases(), "KV_"+tr.name+"-rooms", tr.name+"-in", tr.name+"-out")
}

func (tr *trial) leases() (list []string) {
	for i := range nodes {
		list = append(list, fmt.Sprint("KV_", tr.name, "-leases-", i+1))
	}
	return list
}

// untilSettled waits until nothing is under way any more: all workers have just renewed
// their leases, and hold the rooms that they should, with a connection in each.
func (tr *trial) untilSettled() {
	tr.Helper()
	why := ""
	began := time.Now()
	for why = tr.unsettled(); why != ""; why = tr.unsettled() {
		require.Less(tr, time.Since(began), patience, why)
		time.Sleep(20 * time.Millisecond)
	}
}

// unsettled returns why not.
func (tr *trial) unsettled() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	workers, err := tr.fleet.Control().Workers(ctx)
	if err != nil || len(workers) != len(tr.workers) {
		return fmt.Sprintf("there are %d of %d workers, %v", len(workers), len(tr.workers), err)
	}
	sessions, open := map[string]string{}, 0 // by name, which is another one for each
	var names []string
	var hashes []uint64
	for _, w := range workers {
		sessions[w.Name] = w.Session
		names, hashes = append(names, w.Name), append(hashes, placement.Hash(w.Name))
	}
	for _, w := range tr.workers {
		s, err := tr.fleet.Control().Stats(ctx, w.name)
		if err != nil || !s.Ready || s.Lease < tr.lease*3/4 || s.Open != s.Rooms {
			return fmt.Sprintf("worker %s: %+v, %v", w.label, s, err)
		}
		open += s.Open
	}
	list, err := tr.fleet.Control().List(ctx)
	if err != nil || open != len(list) || open != len(tr.traffic.rooms) {
		return fmt.Sprintf("%d of %d rooms are open, %v", open, len(list), err)
	}
	for _, s := range list {
		if best := names[placement.Best(placement.HashOf(placement.Shard(s.ID, shards)), hashes)]; s.Session != sessions[best] {
			return fmt.Sprintf("%s is not held by %s, but by %q", s.ID, best, s.Worker)
		}
	}
	return ""
}

// sessions returns the session of each room's holder.
func (tr *trial) sessions() map[string]string {
	tr.Helper()
	list, err := tr.fleet.Control().List(tr.Context())
	require.NoError(tr, err)
	sessions := map[string]string{}
	for _, s := range list {
		sessions[s.ID] = s.Session
	}
	return sessions
}

// untilHeldBy waits until rooms are held as wanted, by their workers' names and sessions, and
// a worker is in each.
func (tr *trial) untilHeldBy(what string, want func(held map[string]fleet.Status) bool) {
	tr.Helper()
	ctx, cancel := context.WithTimeoutCause(tr.Context(), patience, fmt.Errorf("not %s in time", what))
	defer cancel()
	for again := true; again; {
		again = false
		held := map[string]fleet.Status{}
		for s, err := range tr.fleet.Control().Watch(ctx) {
			if err != nil { // NATS is away
				require.NoError(tr, ctx.Err())
				again = true
				break
			}
			held[s.ID] = s
			if len(held) == len(tr.traffic.rooms) && want(held) {
				break
			}
		}
	}
	for _, room := range tr.traffic.rooms {
		until(tr.T, "joined "+room, func() bool { return tr.backend.Viewers(room) > 0 })
	}
}

// untilHeldByOthers waits until all rooms are held by workers with other names.
func (tr *trial) untilHeldByOthers(name string) {
	tr.Helper()
	tr.untilHeldBy("held by others than "+name, func(held map[string]fleet.Status) bool {
		for _, s := range held {
			if s.Worker == "" || s.Worker == name {
				return false
			}
		}
		return true
	})
}

// untilArrived waits until all messages have arrived. There is no traffic meanwhile.
func (tr *trial) untilArrived() {
	tr.Helper()
	until(tr.T, "all is delivered", func() bool {
		i, err := tr.cluster.stream(tr.name + "-out")
		return err == nil && i.State.Msgs == 0
	})
	until(tr.T, "all is handled", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		groups, err := tr.fleet.Control().Groups(ctx)
		return err == nil && len(groups) == 1 && groups[0].Lag == 0
	})
}

// published is the whole stream from the rooms.
func (tr *trial) published() []published {
	tr.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	from := uint64(1)
	if n := len(tr.read); n > 0 {
		from = tr.read[n-1].seq + 1
	}
	more, err := readInbound(ctx, tr.cluster.js, tr.name, from)
	require.NoError(tr, err)
	tr.read = append(tr.read, more...)
	return tr.read
}
