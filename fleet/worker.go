package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wechatws/wechatws"
)

// WorkerConfig says how a worker holds rooms.
type WorkerConfig struct {
	// Name names the worker. Rooms are placed by it: one that comes back under the same
	// name gets the same rooms. Of two with one name the younger gets them. Default
	// the host's name and the process's number.
	Name string

	// Connect makes the client of a room that the worker holds now, by Room.NewClient. It
	// neither connects nor closes it. It is called again when the spec has changed, and
	// when the client has failed; from several goroutines at a time. Its context ends when
	// the room is given up. An error is reported, and it is tried again.
	Connect func(ctx context.Context, r *Room) (*wechatws.Client, error)

	// Secret looks up a reference in Spec.Secrets: see LookUpSecret. A program that adds rooms
	// chooses the references, and the endpoints that the secrets are sent to: permit only secrets
	// that are meant for rooms. Default none: Room.Secret returns an error.
	Secret func(ctx context.Context, ref string) (string, error)

	// MoveRate is how many rooms a second are handed over to other workers, when one has
	// joined or this one drains. Default 50.
	MoveRate float64
	// DrainTimeout is how long handing over may take when Run ends; the rate rises if it
	// has to. What is left then is closed at once, and found by the others within
	// seconds. Default 25 s.
	DrainTimeout time.Duration

	// OnError is told what goes wrong with a room and has no caller to be returned to:
	// errors of Connect, permanent errors of its client, messages that could not be published or
	// delivered. It may be called from several goroutines, and should not block.
	OnError func(room string, err error)
}

// A Worker holds rooms. Its methods may be called from any goroutine.
type Worker struct {
	f   *Fleet
	cfg WorkerConfig

	ran      atomic.Bool
	ended    atomic.Bool
	drained  chan struct{} // closed by Drain
	drain    sync.Once
	leased   atomic.Pointer[session] // nil: none
	synced   atomic.Bool
	known    atomic.Int64 // rooms of the fleet
	held     sync.Map     // token → *holding
	counters counters
}

// NewWorker makes a worker. It does nothing until Run. Errors are *wechatws.OptionError.
func (f *Fleet) NewWorker(cfg WorkerConfig) (*Worker, error) {
	if cfg.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "worker"
		}
		cfg.Name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if cfg.Secret == nil {
		cfg.Secret = func(context.Context, string) (string, error) {
			return "", errors.New("WorkerConfig.Secret is not set: it must permit the references that rooms may have")
		}
	}
	if cfg.MoveRate == 0 {
		cfg.MoveRate = 50
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 25 * time.Second
	}
	if cfg.OnError == nil {
		cfg.OnError = func(string, error) {}
	}
	switch {
	case cfg.Connect == nil:
		return nil, wrong("WorkerConfig.Connect", "nil", "must be a function that makes a room's client")
	case len(cfg.Name) > longestID:
		return nil, wrong("WorkerConfig.Name", cfg.Name, "must be 128 bytes at most")
	case strings.ContainsFunc(cfg.Name, unicode.IsControl) || !utf8.ValidString(cfg.Name):
		return nil, wrong("WorkerConfig.Name", fmt.Sprintf("%q", cfg.Name), "must be text without control characters")
	case cfg.MoveRate < 0:
		return nil, wrong("WorkerConfig.MoveRate", cfg.MoveRate, "must be above zero")
	case cfg.DrainTimeout < 0:
		return nil, wrong("WorkerConfig.DrainTimeout", cfg.DrainTimeout, "must be above zero")
	}
	return &Worker{f: f, cfg: cfg, drained: make(chan struct{})}, nil
}

// Name is the worker's name.
func (w *Worker) Name() string { return w.cfg.Name }

// Drain has Run hand over all rooms, one by one, and return. It does not wait for that. It is
// what the end of Run's context does.
func (w *Worker) Drain() { w.drain.Do(func() { close(w.drained) }) }

// Run holds rooms until ctx ends or Drain is called, and then hands them over. It returns nil
// after that, and an error only when it could not begin; a NATS that is away is waited for.
// The context of what it calls has the values of ctx. It may be called once.
func (w *Worker) Run(ctx context.Context) error {
	if w.ran.Swap(true) {
		return fmt.Errorf("fleet: worker %q has run already", w.cfg.Name)
	}
	defer w.ended.Store(true)
	defer context.AfterFunc(ctx, w.Drain)()
	inside, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	waiting, stop := context.WithCancel(inside) // until it drains
	defer stop()
	go func() {
		select {
		case <-w.drained:
			stop()
		case <-waiting.Done():
		}
	}()
	for {
		s, err := w.f.newSession(waiting, w.told())
		switch {
		case waiting.Err() != nil && err != nil:
			return nil
		case err != nil:
			return err
		}
		if w.tenure(inside, s) {
			return nil
		}
		w.f.log.Info("begins again", "worker", w.cfg.Name)
	}
}

func (w *Worker) told() member {
	host, _ := os.Hostname()
	return member{Name: w.cfg.Name, Host: host, PID: os.Getpid(), Since: time.Now().UTC(), Settling: true}
}

// report tells of what went wrong with a room.
func (w *Worker) report(room string, err error) {
	w.counters.errors.Add(1)
	w.f.log.Error("room", "worker", w.cfg.Name, "room", room, "err", err)
	w.cfg.OnError(room, err)
}
