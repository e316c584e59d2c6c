package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// patience is how long anything may take that is waited for.
const patience = 90 * time.Second

// A show is the whole of it.
type show struct {
	rooms, workers int
	lease, steady  time.Duration
	out            io.Writer
	live           bool // the table may be drawn over

	backend *liveroomtest.Backend
	fleet   *fleet.Fleet
	traffic traffic
	table   table

	mu        sync.Mutex
	processes []*process
}

func (s *show) roomID(n int) string { return fmt.Sprintf("room-%04d", n) }

func (s *show) run(ctx context.Context) (err error) {
	s.backend = liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer s.backend.Close()
	s.fleet, err = fleet.Open(ctx, fleet.Config{Listen: "127.0.0.1:0", Lease: s.lease})
	if err != nil {
		return err
	}
	defer s.fleet.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for _, p := range s.all() {
			p.end()
		}
		s.traffic.working.Wait()
	}()

	s.table = table{s: s, began: time.Now()}
	stopTable := s.table.start(ctx)
	figures, err := s.acts(ctx)
	stopTable()
	if err != nil {
		return err
	}
	return figures.print(s.out)
}

// acts is what happens, one thing after the other.
func (s *show) acts(ctx context.Context) (*figures, error) {
	f := &figures{s: s}
	s.table.says(fmt.Sprintf("%d rooms are added, and %d workers started", s.rooms, s.workers))
	began := time.Now()
	for n := range s.workers {
		if err := s.startWorker(n); err != nil {
			return nil, err
		}
	}
	for n := range s.rooms {
		spec := fleet.Spec{
			ID: s.roomID(n), Endpoint: s.backend.URL(),
			IDs: map[string]string{"room": s.roomID(n)}, Options: map[string]string{"name": "bot"},
		}
		if err := s.fleet.Control().Add(ctx, spec); err != nil {
			return nil, err
		}
	}
	if err := s.untilAllHeld(ctx); err != nil {
		return nil, err
	}
	f.started = time.Since(began)
	s.traffic.s = s
	if err := s.traffic.start(ctx); err != nil {
		return nil, err
	}
	if err := s.look(ctx); err != nil {
		return nil, err
	}

	victim := s.all()[0]
	s.table.says(victim.name + " is killed (SIGKILL)")
	f.killed, f.victim = time.Now(), victim.name
	victim.fate = "killed"
	victim.end()
	if err := s.untilAllHeld(ctx, victim.name); err != nil {
		return nil, err
	}
	if err := s.look(ctx); err != nil {
		return nil, err
	}

	leaver := s.all()[1]
	s.table.says(leaver.name + " is drained (SIGTERM)")
	f.drainBegan, f.leaver = time.Now(), leaver.name
	leaver.fate = "draining"
	if err := leaver.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	select {
	case <-leaver.ended:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if leaver.err != nil {
		return nil, fmt.Errorf("%s did not end well: %w", leaver.name, leaver.err)
	}
	f.drainEnded = time.Now()
	leaver.fate = "drained"
	if err := s.untilAllHeld(ctx, victim.name, leaver.name); err != nil {
		return nil, err
	}
	if err := s.look(ctx); err != nil {
		return nil, err
	}

	s.table.says("a new worker joins")
	f.joined = time.Now()
	if err := s.startWorker(s.workers); err != nil {
		return nil, err
	}
	f.newcomer = s.all()[s.workers].name
	if err := s.untilSettled(ctx, f.newcomer); err != nil {
		return nil, err
	}
	f.settled = time.Now()
	if err := s.look(ctx); err != nil {
		return nil, err
	}

	s.table.says("nothing more is said; what is under way arrives")
	s.traffic.stop()
	if err := s.untilDelivered(ctx); err != nil {
		return nil, err
	}
	f.events = s.backend.Server().Events()
	return f, nil
}

func (s *show) startWorker(n int) error {
	p, err := startWorker("worker-"+string(rune('a'+n)), s.fleet.URL())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return nil
}

func (s *show) all() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.processes)
}

// look lets things go on for a while.
func (s *show) look(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.steady):
		return nil
	}
}

// untilAllHeld waits until all rooms are held by workers other than these, and joined.
func (s *show) untilAllHeld(ctx context.Context, lost ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("not all rooms are held in time"))
	defer cancel()
	held := map[string]bool{}
	for room, err := range s.fleet.Control().Watch(ctx) {
		if err != nil {
			return err
		}
		if room.Worker != "" && !slices.Contains(lost, room.Worker) {
			held[room.ID] = true
		} else {
			delete(held, room.ID)
		}
		if len(held) == s.rooms {
			break
		}
	}
	return s.every(ctx, func() bool {
		for n := range s.rooms {
			if s.backend.Viewers(s.roomID(n)) == 0 {
				return false
			}
		}
		return true
	})
}

// untilSettled waits until a new worker has all rooms that it should have: none has
// come to it for a while.
func (s *show) untilSettled(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the new worker got no rooms in time"))
	defer cancel()
	had, since := 0, time.Now()
	return s.every(ctx, func() bool {
		stats, err := s.fleet.Control().Stats(ctx, name)
		if err != nil || stats.Rooms != had || stats.Open != had {
			had, since = stats.Rooms, time.Now()
		}
		return had > 0 && time.Since(since) > 2*time.Second
	})
}

// untilDelivered waits until the backend has all that was sent, and the handler all that
// was published.
func (s *show) untilDelivered(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("not all messages arrived in time"))
	defer cancel()
	quiet, last := time.Now(), int64(-1)
	return s.every(ctx, func() bool {
		if n := s.traffic.handled.Load(); n != last {
			quiet, last = time.Now(), n
		}
		messages, _ := received(s.backend.Server().Events())
		return int64(messages) >= s.traffic.sent.Load() && time.Since(quiet) > time.Second
	})
}

func (s *show) every(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}
