package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet"
)

// patience is the timeout of everything that the program waits for.
const patience = 90 * time.Second

// A show is one run of the program.
type show struct {
	rooms, workers  int
	duration, lease time.Duration
	seed            uint64
	out             io.Writer
	live            bool // the output is a terminal

	backend *desk
	fleet   *fleet.Fleet
	traffic traffic
	table   table

	mu        sync.Mutex
	processes []*process // workers
}

func (s *show) roomID(n int) string { return fmt.Sprintf("room-%04d", n) }

func (s *show) roomIDs() (list []string) {
	for n := range s.rooms {
		list = append(list, s.roomID(n))
	}
	return list
}

func (s *show) run(ctx context.Context) (err error) {
	if s.backend, err = startBackend(); err != nil {
		return err
	}
	defer s.backend.close()
	options := []fleet.Option{fleet.WithListen("127.0.0.1:0", "")}
	if s.lease > 0 {
		options = append(options, fleet.WithLease(s.lease))
	}
	s.fleet, err = fleet.Open(ctx, options...)
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
		s.traffic.talking.Wait()
		s.traffic.working.Wait()
	}()

	s.table = table{s: s, began: time.Now()}
	s.traffic.s = s
	stopTable := s.table.start(ctx)
	figures, err := s.acts(ctx)
	stopTable()
	if err != nil {
		return err
	}
	return figures.print(s.out)
}

// acts runs the scenes of the show, one after the other.
func (s *show) acts(ctx context.Context) (*figures, error) {
	f := &figures{s: s}
	for _, act := range []func(context.Context, *figures) error{s.begin, s.kill, s.drain, s.join, s.finish} {
		if err := act(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (s *show) begin(ctx context.Context, f *figures) error {
	s.table.says(fmt.Sprintf("%d rooms are added, and %d workers started", s.rooms, s.workers))
	began := time.Now()
	for n := range s.workers {
		if _, err := s.startWorker(n); err != nil {
			return err
		}
	}
	for _, room := range s.roomIDs() {
		spec := fleet.Spec{
			ID: room, Endpoint: s.backend.at.Rooms,
			IDs: map[string]string{"room": room}, Options: map[string]string{"name": "bot"},
		}
		if err := s.fleet.Control().Add(ctx, spec); err != nil {
			return err
		}
	}
	if err := s.untilAllHeld(ctx); err != nil {
		return err
	}
	f.started = time.Since(began)
	s.table.says("all are held; visitors and the fleet begin to send")
	return s.traffic.start(ctx)
}

func (s *show) kill(ctx context.Context, f *figures) error {
	if err := s.lookOn(ctx, 0.16); err != nil {
		return err
	}
	victim := s.pick(3)
	s.table.says(victim.name + " is killed (SIGKILL)")
	f.killed, f.victim = time.Now(), victim.name
	victim.fate.Store("killed")
	victim.end()
	return s.untilAllHeld(ctx)
}

func (s *show) drain(ctx context.Context, f *figures) error {
	if err := s.lookOn(ctx, 0.44); err != nil {
		return err
	}
	leaver := s.pick(4)
	s.table.says(leaver.name + " is drained (SIGTERM)")
	f.drainBegan, f.leaver = time.Now(), leaver.name
	leaver.fate.Store("draining")
	if err := leaver.drain(); err != nil {
		return err
	}
	select {
	case <-leaver.ended:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		return fmt.Errorf("%s did not end in time", leaver.name)
	}
	if leaver.err != nil {
		return fmt.Errorf("%s did not end well: %w", leaver.name, leaver.err)
	}
	leaver.fate.Store("drained")
	if err := s.untilAllHeld(ctx); err != nil {
		return err
	}
	f.drainEnded = time.Now()
	return nil
}

func (s *show) join(ctx context.Context, f *figures) error {
	if err := s.lookOn(ctx, 0.62); err != nil {
		return err
	}
	var others []string
	for _, p := range s.living() {
		others = append(others, p.name)
	}
	f.joined = time.Now()
	p, err := s.startWorker(s.workers)
	if err != nil {
		return err
	}
	s.table.says(p.name + " joins")
	f.newcomer, f.wanted = p.name, belongings(s.roomIDs(), p.name, others...)
	err = s.until(ctx, p.name+" does not have its rooms in time", func(now look) bool {
		n := 0
		for _, worker := range now.In {
			if worker == p.name {
				n++
			}
		}
		return len(now.In) == s.rooms && n == len(f.wanted)
	})
	if err != nil {
		return err
	}
	if err := s.lookOn(ctx, 0.9); err != nil { // for messages that arrive more than once
		return err
	}
	f.settled = time.Now()
	return nil
}

// finish waits until all messages have arrived.
func (s *show) finish(ctx context.Context, f *figures) error {
	s.table.says("nothing more is said; what is under way arrives")
	s.traffic.stop()
	nc, err := nats.Connect(s.fleet.URL())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	quiet, last := time.Now(), int64(-1)
	err = s.until(ctx, "not all messages are confirmed in time", func(look) bool {
		if n := s.traffic.heard.Load() + s.traffic.echoed.Load(); n != last {
			quiet, last = time.Now(), n
		}
		// A message to a room is in this stream until it is confirmed.
		out, err := js.Stream(ctx, "wechatws-out")
		if err != nil {
			return false
		}
		f.waiting = out.CachedInfo().State.Msgs
		return f.waiting == 0 && time.Since(quiet) > time.Second
	})
	if err != nil && ctx.Err() != nil {
		return err // otherwise the figures show what is missing
	}
	now, err := s.backend.look()
	if err != nil {
		return err
	}
	f.held = len(now.In)
	f.all, err = s.backend.record()
	return err
}

func (s *show) startWorker(n int) (*process, error) {
	p, err := start("worker-"+string(rune('a'+n)), s.fleet.URL(), nil)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p, nil
}

func (s *show) all() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.processes)
}

func (s *show) living() (list []*process) {
	for _, p := range s.all() {
		select {
		case <-p.ended:
		default:
			list = append(list, p)
		}
	}
	return list
}

// pick returns one of the living workers.
func (s *show) pick(stream uint64) *process {
	list := s.living()
	return list[rand.New(rand.NewPCG(s.seed, stream)).IntN(len(list))]
}

// lookOn waits until a part of the time is over, and for a second at least.
func (s *show) lookOn(ctx context.Context, part float64) error {
	at := s.table.began.Add(time.Duration(part * float64(s.duration)))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(max(time.Second, time.Until(at))):
		return nil
	}
}

// untilAllHeld waits until a worker is in each room.
func (s *show) untilAllHeld(ctx context.Context) error {
	return s.until(ctx, "not all rooms are held in time", func(now look) bool { return len(now.In) == s.rooms })
}

// until waits until a snapshot of the backend is as wanted.
func (s *show) until(ctx context.Context, failed string, done func(look) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New(failed))
	defer cancel()
	for {
		if now, err := s.backend.look(); err == nil && done(now) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
