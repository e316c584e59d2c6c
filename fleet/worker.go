package fleet

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

// A Worker holds rooms. Its methods may be called from any goroutine. Make one with
// [Fleet.NewWorker].
type Worker struct {
	f       *Fleet
	cfg     workerConfig
	connect func(ctx context.Context, r *Room) (*wechatws.Client, error)
	onError errorFuncs[string]

	appetite appetite

	ran      atomic.Bool
	ended    atomic.Bool
	drained  chan struct{} // closed by Drain
	drain    sync.Once
	leased   atomic.Pointer[session] // nil without a lease
	synced   atomic.Bool
	held     sync.Map     // token → *holding
	rooms    atomic.Int64 // in held
	shards   atomic.Int64 // of which it holds rooms
	unheld   atomic.Int64 // shards of the fleet that no worker holds
	counters counters
}

// NewWorker makes a worker, which does nothing until [Worker.Run].
//
// The worker calls connect to make the client of a room that it holds, which connect must do by
// [Room.NewClient]; it neither connects nor closes the client. The worker calls it again when the
// spec of the room has changed, and when the client has failed, on one goroutine for each room. The
// context ends when the room is given up: connect should return then, and soon the worker goes on
// without it. An error or a panic of connect is reported to the functions of [Worker.OnError], and
// connect is called again after a pause, of 5 s at first and 5 minutes at most.
//
// NewWorker returns a *wechatws.OptionError for each option that is wrong, joined.
func (f *Fleet) NewWorker(connect func(ctx context.Context, r *Room) (*wechatws.Client, error), options ...WorkerOption) (*Worker, error) {
	cfg, err := newWorkerConfig(connect != nil, options)
	if err != nil {
		return nil, err
	}
	w := &Worker{f: f, cfg: cfg, connect: connect, drained: make(chan struct{})}
	w.appetite.dialing, w.appetite.rate = make(chan struct{}, dialsAtOnce), cfg.joinRate
	return w, nil
}

// OnError registers fn for errors about a room that have no caller to be returned to: errors of the
// function given to [Fleet.NewWorker], permanent errors of a client, messages that could not be
// published or delivered. The messages that a client had received and that were not published when it was
// closed are reported as one error with their number, which wraps [ErrLeaseLost] if the lease was lost.
// Errors are logged, too. fn is called on several goroutines, and should not block. Call OnError before
// [Worker.Run], or the first errors may be missed.
func (w *Worker) OnError(fn func(room string, err error)) { w.onError.add("Worker.OnError", fn) }

// Name returns the name of the worker; see [WithWorkerName].
func (w *Worker) Name() string { return w.cfg.name }

// Drain makes [Worker.Run] hand over all rooms, one by one, and return, as the end of its context
// does. It does not wait for that. Later calls do nothing.
func (w *Worker) Drain() { w.drain.Do(func() { close(w.drained) }) }

// Run holds rooms until ctx ends or [Worker.Drain] is called, hands them over within the time of
// [WithDrainTimeout], and returns nil. It returns an error only if it cannot begin; it waits for a
// NATS that cannot be reached. The contexts of the functions that it calls have the values of ctx.
// Run may be called once; later calls return an error.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.onError.misused(); err != nil {
		return err
	}
	if w.ran.Swap(true) {
		return fmt.Errorf("fleet: worker %q has run already", w.cfg.name)
	}
	defer w.ended.Store(true)
	defer context.AfterFunc(ctx, w.Drain)()
	inside, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	waiting, stop := context.WithCancel(inside) // ends when the worker drains
	defer stop()
	go func() {
		select {
		case <-w.drained:
			stop()
		case <-waiting.Done():
		}
	}()
	leases, err := w.f.forLeases(waiting)
	if err != nil {
		if waiting.Err() != nil {
			return nil
		}
		return err
	}
	for {
		s, err := leases.newSession(waiting, w.member(), func() int { return int(w.rooms.Load()) })
		switch {
		case waiting.Err() != nil && err != nil:
			return nil
		case err != nil:
			return err
		}
		if w.tenure(inside, s) {
			return nil
		}
		w.f.log.Info("begins again", "worker", w.cfg.name)
	}
}

// member describes the worker before it takes rooms.
func (w *Worker) member() member {
	host, _ := os.Hostname()
	return member{Name: w.cfg.name, Host: host, PID: os.Getpid(), Since: time.Now().UTC(), Settling: true}
}

// report logs an error about a room, and calls the functions of OnError.
func (w *Worker) report(room string, err error) {
	w.counters.errors.Add(1)
	w.f.log.Error("room", "worker", w.cfg.name, "room", room, "err", err)
	w.onError.call(w.f.log, room, err)
}
