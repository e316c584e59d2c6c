package fleet

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/fence"
)

const (
	// again is the pause before the worker makes another client for one that has failed
	// permanently. It doubles with each failure, up to atMost.
	again  = 5 * time.Second
	atMost = 5 * time.Minute
	// hanging is for how long close waits when the client is closed: for longer than the last message to
	// the room may need to be removed.
	hanging = 5 * time.Second
)

// A holding is a room that this worker holds, from the claim until the room is given up.
type holding struct {
	worker *Worker
	t      *tenure
	f      *Fleet
	id     string
	spec   Spec
	change string // of the record
	fence  uint64

	ctx    context.Context // of the client, and of messages to the room
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned

	client  atomic.Pointer[wechatws.Client]
	problem atomic.Pointer[problem] // why there is no client
	dialed  func()                  // the client is connected or has failed
	fenced  atomic.Bool             // another worker has held the room
	since   time.Time
	mailbox mailbox

	inbound inbound
	lane    *lane
	sealed  bool // nothing is published any more; it belongs to the goroutine that has its turn in the lane
}

// A problem is an error of the function that makes the client, or an endpoint that is not permitted.
type problem struct {
	err error
	at  time.Time
}

func newHolding(t *tenure, s *shard, l *listing) *holding {
	h := &holding{
		worker: t.w, t: t, f: t.f, id: l.id, spec: l.record.Spec, change: l.record.Change, fence: s.fence(l),
		done: make(chan struct{}), since: time.Now(), lane: s.part.lane,
	}
	h.inbound.ctx, h.inbound.end = context.WithCancel(t.ctx)
	h.ctx, h.cancel = context.WithCancel(h.inbound.ctx)
	h.mailbox.h, h.mailbox.more = h, s.part.mail
	return h
}

// close gives the room up, and returns when nothing more is written and the client's Run has returned. What
// the client has received is published meanwhile, for no longer than grace, unless NATS refuses it.
// Draining and the close handshake take no longer than the lease lasts. If a function of the program does not
// return, close does not wait for it for ever: without a client that is open, it can write nothing.
func (h *holding) close(grace time.Duration) {
	if h.inbound.failing.Load() {
		grace = 0
	}
	h.cancel()
	defer time.AfterFunc(grace, h.inbound.end).Stop()
	last := time.NewTimer(h.t.s.left())
	defer last.Stop()
	select {
	case <-h.done:
	case <-last.C:
		if c := h.client.Load(); c != nil {
			_ = c.CloseNow()
		}
		select {
		case <-h.done:
		case <-time.After(hanging):
			h.f.log.Error("a room is given up while a function of the program does not return", "room", h.id)
		}
	}
}

// run holds the room until close is called.
func (h *holding) run() {
	defer close(h.done)
	defer h.mailbox.wait()
	defer h.inbound.end()
	for wait := again; h.ctx.Err() == nil; wait = min(2*wait, atMost) {
		began := time.Now()
		err := h.connect()
		var left *wechatws.UndeliveredError // messages of the program
		if h.ctx.Err() == nil || errors.As(err, &left) {
			h.problem.Store(&problem{err, time.Now()})
			h.worker.report(h.id, err)
		}
		if time.Since(began) > atMost {
			wait = again
		}
		pause(h.ctx, wait)
		if failed := h.client.Load(); failed != nil { // its state is visible until here
			if err := h.mailbox.disown(failed.CloseNow()); err != nil {
				h.worker.report(h.id, err)
			}
		}
	}
}

// connect makes a client and keeps it connected until close is called or the client fails permanently.
func (h *holding) connect() (err error) {
	if err := h.worker.cfg.permits(h.spec.Endpoint); err != nil {
		return err
	}
	// A dial costs processor time, on which renewals depend: the worker dials only while they are in time.
	calm := func(ctx context.Context) error { return h.t.calm(ctx, h.f.settled.Lease*3/4) }
	if h.dialed, err = h.worker.appetite.admit(h.ctx, calm); err != nil {
		return err
	}
	defer h.dialed()
	var client *wechatws.Client
	err = users.Apart(func() (err error) {
		client, err = h.worker.connect(h.ctx, &Room{Spec: h.spec, Fence: h.fence, holding: h})
		return err
	})
	if err = cmp.Or(err, h.ctx.Err()); err != nil { // close may not have waited for it
		return err
	}
	if client == nil || client != h.client.Load() {
		return errors.New("the function given to NewWorker must return a client that it has made by Room.NewClient")
	}
	h.mailbox.resume()
	err = h.mailbox.disown(client.Run(h.ctx))
	if client.State() != wechatws.StateFailed {
		_ = client.CloseNow() // Run may not have begun: it refuses a client that is connected already
	}
	// The next client must not publish while a callback of this one does. When the room is given up
	// there is no next client, and the stream refuses what is published after the next holder has
	// taken over.
	select {
	case <-client.Done():
	case <-h.ctx.Done():
	}
	if err == nil && h.ctx.Err() == nil { // the program has closed it
		return wechatws.ErrClosed
	}
	return err
}

// newClient is Room.NewClient.
func (h *holding) newClient(url string, options []wechatws.Option) (*wechatws.Client, error) {
	if err := h.worker.cfg.permits(url); err != nil {
		return nil, err
	}
	options = append(options[:len(options):len(options)],
		fence.New(h.guard).(wechatws.Option), fence.Discarded(h.discarded).(wechatws.Option))
	c, err := wechatws.New(url, options...)
	if err != nil {
		return nil, err
	}
	c.OnMessageNoCopy(h.publish)
	c.OnStateChange(func(_ context.Context, e wechatws.StateChange) { h.moved(e.To) })
	dialed := h.dialed
	c.OnOpen(func(context.Context, wechatws.OpenEvent) { dialed() })
	h.client.Store(c)
	return c, nil
}

// guard is called before each write to the room's connection, and before each publication. After an
// error the caller must not write.
func (h *holding) guard() error {
	if h.fenced.Load() {
		return ErrLeaseLost
	}
	return h.t.s.guard()
}

// lost is called when another worker turns out to hold the room.
func (h *holding) lost(err error) {
	if h.ctx.Err() == nil {
		h.fenced.Store(true)
		h.worker.report(h.id, err)
	}
	h.inbound.end()
}
