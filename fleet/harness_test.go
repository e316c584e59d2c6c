package fleet_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/internal/freeport"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a fleet on a NATS inside the test, and a server that rooms connect to.
type world struct {
	*testing.T
	fleet *fleet.Fleet
	srv   *wstest.Server
}

// patience is how long a test waits for what must come.
const (
	patience = 30 * time.Second
	tick     = 10 * time.Millisecond // between two checks, where there is no notification
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, srv: wstest.NewServer()}
	t.Cleanup(w.srv.Close)
	f, err := fleet.Open(w.ctx(), fleet.WithLease(5*time.Second), fleet.WithDir(t.TempDir()), fleet.WithLogger(slog.New(slog.NewTextHandler(t.Output(), nil))))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	w.fleet = f
	return w
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.Cleanup(cancel)
	return ctx
}

// address is one that an embedded server can listen on, and again after a pause.
func (w *world) address() string {
	w.Helper()
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(w, err)
	return addr
}

// A running is a worker that runs.
type running struct {
	*fleet.Worker
	stop func() // ends Run and waits for it
}

// worker starts a worker whose clients send nothing by themselves.
func (w *world) worker(name string, options ...wechatws.Option) *running {
	w.Helper()
	return w.workerWith(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint, append([]wechatws.Option{wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness()}, options...)...)
	}, fleet.WithWorkerName(name))
}

// A connectFunc makes the client of a room.
type connectFunc = func(context.Context, *fleet.Room) (*wechatws.Client, error)

func (w *world) workerWith(connect connectFunc, options ...fleet.WorkerOption) *running {
	w.Helper()
	return w.workerReporting(func(room string, err error) { w.Logf("room %s: %v", room, err) }, connect, options...)
}

// workerReporting starts a worker whose errors are given to onError.
func (w *world) workerReporting(onError func(room string, err error), connect connectFunc, options ...fleet.WorkerOption) *running {
	w.Helper()
	worker, err := w.fleet.NewWorker(connect, options...)
	require.NoError(w, err)
	worker.OnError(onError)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		assert.NoError(w, <-ended)
	})
	w.Cleanup(stop)
	return &running{worker, stop}
}

// add adds rooms r0, r1 and so on.
func (w *world) add(n int) {
	w.Helper()
	for i := range n {
		require.NoError(w, w.fleet.Control().Add(w.ctx(), fleet.Spec{ID: fmt.Sprint("r", i), Endpoint: w.srv.URL() + fmt.Sprint("?room=r", i)}))
	}
}

// until waits until all rooms are as wanted.
func (w *world) until(what string, want func(rooms map[string]fleet.Status) bool) {
	w.Helper()
	rooms := map[string]fleet.Status{}
	for s, err := range w.fleet.Control().Watch(w.ctx()) {
		require.NoError(w, err, "waiting until %s: %v", what, rooms)
		rooms[s.ID] = s
		if want(rooms) {
			return
		}
	}
}

// heldBy counts rooms by their holder.
func heldBy(rooms map[string]fleet.Status) map[string]int {
	n := map[string]int{}
	for _, s := range rooms {
		if !s.Removed {
			n[s.Worker]++
		}
	}
	return n
}

// quietly makes clients that send nothing by themselves.
func quietly(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
	return r.NewClient(r.Endpoint, wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness())
}
