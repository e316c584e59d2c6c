//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// patience is the timeout of everything that the program waits for.
const patience = 5 * time.Minute

// A trial is one run.
type trial struct {
	settings
	nats, backend *process
	workers, busy []*process
	rooms         []string // where the backend is
	desk          string   // of the backend
	url           string   // where NATS is
	fleet         *fleet.Fleet
	leases        jetstream.Stream
	claims        jetstream.Stream // the bucket of rooms, which has them
	nc            *nats.Conn
	sent, failed  atomic.Int64
}

func run(ctx context.Context, s settings, out io.Writer) (err error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	if need := uint64(s.rooms + 200); files.Cur < need {
		return fmt.Errorf("the backend needs %d open files, and may have %d: raise it with ulimit -n", need, files.Cur)
	}
	t := &trial{settings: s}
	defer t.end()
	if t.nats, err = start(natsRole, &t.url); err != nil {
		return err
	}
	var at []string
	if t.backend, err = start(backendRole, &at, talkingVariable+"="+s.talk.String()); err != nil {
		return err
	}
	t.rooms, t.desk = at[:ports], at[ports]
	if t.fleet, err = fleet.Open(ctx, fleet.WithNATS(t.url)); err != nil {
		return err
	}
	if err := t.watchLeases(ctx); err != nil {
		return err
	}
	adding := time.Now()
	if err := t.add(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d rooms added in %s\n", s.rooms, round(time.Since(adding)))

	for range s.busy {
		var name string
		p, err := start(busyRole, &name)
		if err != nil {
			return err
		}
		t.busy = append(t.busy, p)
	}
	cold := time.Now()
	before, err := t.cpu()
	if err != nil {
		return err
	}
	for n := range s.workers {
		var name string
		p, err := start("worker-"+string(rune('a'+n)), &name, natsVariable+"="+t.url)
		if err != nil {
			return err
		}
		t.workers = append(t.workers, p)
	}
	now, err := t.until(ctx, "")
	if err != nil {
		return err
	}
	held := time.Since(cold)
	after, err := t.cpu()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "all held %s after the %d workers were started, with %s of processor time: %s\n", round(held), s.workers, round(after-before), shares(now))

	sending, stop := context.WithCancel(ctx)
	defer stop()
	go t.speak(sending)
	if err := wait(ctx, s.settle); err != nil {
		return err
	}
	if err := t.measured(ctx, out); err != nil {
		return err
	}
	return t.killOne(ctx, out)
}

func (t *trial) end() {
	for _, p := range append(t.workers, t.busy...) {
		p.kill()
	}
	if t.fleet != nil {
		t.fleet.Close()
	}
	if t.nc != nil {
		t.nc.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	if t.backend != nil {
		t.backend.end()
	}
	if t.nats != nil {
		t.nats.end()
	}
}

// watchLeases counts the writes into the buckets of leases and rooms.
func (t *trial) watchLeases(ctx context.Context) (err error) {
	if t.nc, err = nats.Connect(t.url); err != nil {
		return err
	}
	js, err := jetstream.New(t.nc)
	if err != nil {
		return err
	}
	if t.leases, err = js.Stream(ctx, "KV_wechatws-leases-1"); err != nil {
		return err
	}
	t.claims, err = js.Stream(ctx, "KV_wechatws-rooms")
	return err
}

func room(n int) string { return fmt.Sprintf("room-%06d", n) }

// add adds the rooms, several at a time.
func (t *trial) add(ctx context.Context) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var adding sync.WaitGroup
	for range 16 {
		adding.Go(func() {
			for n := int(next.Add(1)) - 1; n < t.settings.rooms; n = int(next.Add(1)) - 1 {
				if err := t.fleet.Control().Add(ctx, fleet.Spec{ID: room(n), Endpoint: t.rooms[n%ports]}); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	adding.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// until waits until all rooms are held, by other workers than one.
func (t *trial) until(ctx context.Context, not string) (look, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("not all rooms are held in time"))
	defer cancel()
	for {
		now, err := ask(ctx, t.desk+"?"+url.Values{"rooms": {strconv.Itoa(t.settings.rooms)}, "not": {not}}.Encode())
		if err == nil && now.Rooms != nil {
			return now, nil
		}
		if err := wait(ctx, 250*time.Millisecond); err != nil {
			if now, cause := ask(context.WithoutCancel(ctx), t.desk); cause == nil {
				err = fmt.Errorf("%w; %d are", err, len(now.Rooms))
			}
			return now, err
		}
	}
}

// speak sends messages to rooms.
func (t *trial) speak(ctx context.Context) {
	if t.send <= 0 {
		return
	}
	ticker := time.NewTicker(time.Duration(float64(time.Second) / t.send))
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := t.fleet.Send(ctx, room(rand.IntN(t.settings.rooms)), wechatws.Text(fmt.Sprintf(`{"msg_type":"message","content":"%d"}`, n))); err != nil {
			t.failed.Add(1)
		} else {
			t.sent.Add(1)
		}
	}
}

// cpu returns the processor time that all processes of the fleet have used.
func (t *trial) cpu() (used time.Duration, err error) {
	for _, p := range t.all() {
		c, err := p.cost()
		if err != nil {
			return 0, err
		}
		used += c.cpu
	}
	return used, nil
}

// sessions returns the session of each worker.
func (t *trial) sessions(ctx context.Context) (map[string]string, error) {
	list, err := t.fleet.Control().Workers(ctx)
	by := map[string]string{}
	for _, w := range list {
		by[w.Name] = w.Session
	}
	return by, err
}

// killOne kills a worker, and prints how long its rooms were without a holder.
func (t *trial) killOne(ctx context.Context, out io.Writer) error {
	before, err := ask(ctx, t.desk)
	if err != nil {
		return err
	}
	living, err := t.sessions(ctx)
	if err != nil {
		return err
	}
	victim := t.workers[0]
	killed := time.Now()
	victim.kill()
	now, err := t.until(ctx, victim.name)
	if err != nil {
		return err
	}
	var back []time.Duration
	for id, h := range before.Rooms {
		if h.Worker == victim.name {
			back = append(back, now.Rooms[id].Since.Sub(killed))
		}
	}
	slices.Sort(back)
	fmt.Fprintf(out, "%s killed: %d rooms, back after p50 %s, p99 %s, max %s; now %s\n", victim.name, len(back),
		round(percentile(back, 0.5)), round(percentile(back, 0.99)), round(percentile(back, 1)), shares(now))
	left, err := t.sessions(ctx)
	if err != nil {
		return err
	}
	lost := 0
	for name, session := range living {
		if name != victim.name && left[name] != session {
			lost++
		}
	}
	fmt.Fprintf(out, "leases that other workers have lost: %d; held twice at any moment: %d; messages that could not be sent: %d\n", lost, now.Twice, t.failed.Load())
	return nil
}

// shares returns the number of rooms of each worker.
func shares(now look) string {
	count := map[string]int{}
	for _, h := range now.Rooms {
		count[h.Worker]++
	}
	var list []string
	for name, n := range count {
		list = append(list, fmt.Sprint(name, " ", n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func countOf(now look, worker string) (n int) {
	for _, h := range now.Rooms {
		if h.Worker == worker {
			n++
		}
	}
	return n
}

func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
