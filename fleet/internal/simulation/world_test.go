package simulation_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/natssim"
	"github.com/wechatws/wechatws/wstest"
)

// A world is one simulation.
type world struct {
	*testing.T
	cluster  *natssim.Cluster
	network  *wstest.Network
	backend  *backend
	account  *account
	admin    *process
	level    slog.Level
	began    time.Time
	stopped  int                  // server, or -1
	cuts     map[int]func(*world) // that are not mended
	starting sync.WaitGroup       // processes

	mu        sync.Mutex
	processes []*process
}

func (w *world) since() time.Duration { return time.Since(w.began).Round(time.Millisecond) }

const lease = 5 * time.Second

// lateness makes many requests and answers late.
var lateness = natssim.Faults{Late: 200, LateAnswer: 200, LateBy: lease}

// virtual runs a simulation with so many NATS servers and rooms.
func virtual(t *testing.T, seed uint64, servers, rooms int, test func(w *world)) {
	t.Helper()
	virtualWith(t, seed, lease, servers, rooms, test)
}

func virtualWith(t *testing.T, seed uint64, lease time.Duration, servers, rooms int, test func(w *world)) {
	t.Helper()
	natssim.Bubble(t, func(t *testing.T) {
		w := &world{T: t, cluster: natssim.New(seed, servers), network: wstest.NewNetwork(), account: newAccount(), level: slog.LevelWarn, began: time.Now(), stopped: -1, cuts: map[int]func(*world){}}
		defer w.cluster.Close()
		w.backend = newBackend(w)
		defer w.backend.srv.Close()
		w.cluster.OnStore(w.account.stored)
		defer w.end()
		replicas := 1
		if servers >= 3 {
			replicas = 3
		}
		w.admin = w.open("admin", 0, fleet.WithLease(lease), fleet.WithReplicas(replicas), fleet.WithPartitions(4))
		for i := range rooms {
			w.addRoom(fmt.Sprint("r", i))
		}
		test(w)
	})
}

func (w *world) addRoom(name string) {
	w.Helper()
	w.account.add(name)
	require.NoError(w, w.admin.fleet.Control().Add(w.Context(), fleet.Spec{ID: name, Endpoint: w.backend.endpoint(name)}))
}

// end ends all processes, and reports what was wrong.
func (w *world) end() {
	w.cluster.SetFaults(natssim.Faults{})
	w.cluster.Heal()
	w.starting.Wait()
	for _, p := range w.processes {
		p.cancel()
	}
	for _, p := range w.processes {
		p.ended.Wait()
		p.fleet.Close()
	}
	for _, mistake := range w.account.wrong() {
		w.Error(mistake)
	}
	w.Logf("%v: %s", time.Since(w.began).Round(time.Second), w.account.sums())
}

// within waits until list returns nothing, which must be within d.
func (w *world) within(d time.Duration, what string, list func() []string) {
	w.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		left := list()
		if len(left) == 0 {
			return
		}
		if time.Since(began) > d {
			w.Fatalf("after %v not yet: %s: %v", d, what, left)
		}
	}
}

// held waits until all rooms have a holder that writes.
func (w *world) held(d time.Duration) {
	w.Helper()
	w.within(d, "all rooms are held", func() []string { return w.account.silent(1500 * time.Millisecond) })
}

// settled waits until all messages are delivered or handled.
func (w *world) settled(d time.Duration) {
	w.Helper()
	w.within(d, "all messages are delivered and handled", w.account.open)
}

// traffic has the backend say something in rooms, and sends messages to rooms from p, until the returned
// function is called.
func (w *world) traffic(p *process) (stop func()) {
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan struct{}, 2)
	every := func(d time.Duration, do func(i int, room string)) {
		defer func() { ended <- struct{}{} }()
		for i := 0; ctx.Err() == nil; i++ {
			do(i, w.account.there(i))
			time.Sleep(d)
		}
	}
	go every(50*time.Millisecond, func(_ int, room string) { w.backend.say(room) })
	go every(100*time.Millisecond, func(i int, room string) {
		kind := note
		if i%3 == 0 {
			kind = question
		}
		_ = p.send(room, kind, i%7 == 0)
	})
	return func() {
		cancel()
		<-ended
		<-ended
	}
}
