package simulation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// A process has a connection to NATS, and a worker, handlers or neither. It can be lost with all its
// connections.
type process struct {
	w      *world
	name   string
	fleet  *fleet.Fleet
	worker *fleet.Worker
	errs   chan error       // of OnError
	again  func(p *process) // starts what the process does in another one
	gone   bool
	making func(room string) // called before a client is made, if it is not nil

	killed atomic.Bool
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

var errKilled = errors.New("the process is lost")

// open starts a process whose connection to NATS begins with a server.
func (w *world) open(name string, first int, options ...fleet.Option) *process {
	w.Helper()
	p, err := w.tryOpen(name, first, options...)
	require.NoError(w, err)
	return p
}

func (w *world) tryOpen(name string, first int, options ...fleet.Option) (*process, error) {
	p := &process{w: w, name: name, conns: map[net.Conn]bool{}, errs: make(chan error, 64), cancel: func() {}}
	options = append([]fleet.Option{
		fleet.WithNATS(w.cluster.URLs(first), nats.SetCustomDialer(w.cluster.Dialer(name)), nats.DontRandomize()),
		fleet.WithLogger(slog.New(slog.NewTextHandler(w.Output(), &slog.HandlerOptions{Level: w.level})).With("process", name)),
	}, options...)
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	var err error
	if p.fleet, err = fleet.Open(ctx, options...); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.processes = append(w.processes, p)
	return p, nil
}

// run runs a worker or handlers of the process until stop or kill.
func (p *process) run(run func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(p.w.Context())
	p.cancel = cancel
	p.ended.Go(func() {
		if err := run(ctx); err != nil && !p.killed.Load() {
			p.w.Errorf("process %s: %v", p.name, err)
		}
	})
}

// work starts a worker of the process.
func (p *process) work(options ...fleet.WorkerOption) *process {
	p.w.Helper()
	var err error
	p.worker, err = p.fleet.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		if p.making != nil {
			p.making(r.ID)
		}
		url := fmt.Sprint(r.Endpoint, "&fence=", r.Fence, "&worker=", p.name)
		return r.NewClient(url, wechatws.WithNetDial(p.dial), wechatws.WithQueue(1000, maxQueued, wechatws.QueueFail),
			wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Second, First: 10 * time.Millisecond, Message: words{Type: beat}}))
	}, append([]fleet.WorkerOption{fleet.WithWorkerName(p.name), fleet.WithDrainTimeout(20 * time.Second)}, options...)...)
	require.NoError(p.w, err)
	p.worker.OnError(func(_ string, err error) { p.report(err) })
	p.run(p.worker.Run)
	return p
}

const maxQueued = 64 << 10

// handle starts handlers of group g, whose callbacks call fn.
func (p *process) handle(fn func(ctx context.Context, v words) error, options ...fleet.HandlersOption) *process {
	p.w.Helper()
	h, err := p.fleet.NewHandlers("g", append([]fleet.HandlersOption{fleet.WithFromStart()}, options...)...)
	require.NoError(p.w, err)
	h.OnError(func(_ fleet.Message, err error) { p.report(err) })
	fleet.On(h, said, func(ctx context.Context, m fleet.Message, v words) error {
		if p.killed.Load() {
			<-ctx.Done()
			return errKilled
		}
		v.Room = m.Room
		done := p.w.account.handling(p.name, v)
		err := fn(ctx, v)
		if p.killed.Load() {
			<-ctx.Done()
			return errKilled
		}
		done(err == nil || errors.Is(err, errPoison))
		return err
	})
	p.run(h.Run)
	return p
}

func (p *process) report(err error) {
	select {
	case p.errs <- err:
	default:
	}
}

// shortly is a callback that takes a moment.
func shortly(ctx context.Context, _ words) error {
	select {
	case <-time.After(10 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send sends the next message to a room.
func (p *process) send(room string, kind string, expires bool) error {
	ctx, cancel := context.WithTimeout(p.w.Context(), 3*time.Second)
	defer cancel()
	n, done := p.w.account.send(room, expires)
	var options []fleet.SendOption
	if kind == question {
		options = append(options, fleet.ConfirmedBy(fleet.Match{Type: answer, Fields: map[string]any{"n": n}}))
	}
	if expires {
		options = append(options, fleet.ExpireAfter(briefly))
	}
	v, _ := json.Marshal(words{kind, room, n})
	err := p.fleet.Send(ctx, room, wechatws.Text(v), options...)
	done(err)
	return err
}

func (p *process) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := p.w.network.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed.Load() {
		c.Close()
		return nil, errKilled
	}
	p.conns[c] = true
	return &mortal{c, p}, nil
}

// A mortal connection ends with its process.
type mortal struct {
	net.Conn
	p *process
}

func (m *mortal) Close() error {
	m.p.mu.Lock()
	delete(m.p.conns, m.Conn)
	m.p.mu.Unlock()
	return m.Conn.Close()
}

// kill makes the process end as if it was killed: nothing that it does has an effect any more.
func (p *process) kill() {
	p.mu.Lock()
	p.killed.Store(true)
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.w.account.lost(p.name)
	p.w.cluster.Kill(p.name)
	p.cancel()
}

// stop ends the process, in order.
func (p *process) stop() {
	p.cancel()
	p.ended.Wait()
}
