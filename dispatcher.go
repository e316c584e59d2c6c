package wechatws

import (
	"context"
	"sync"
	"sync/atomic"
)

// The inbox's bounds. When one is reached the reader waits, so that
// back-pressure reaches the peer through TCP.
const (
	inboxMessages = 1024
	inboxBytes    = 4 << 20
)

// A dispatcher runs callbacks, one at a time and in order, on a goroutine that
// exists only while there is something to run. It belongs to the client rather
// than to a session, so that callbacks stay one at a time when a callback closes
// the client and connects it again.
type dispatcher struct {
	handle func(context.Context, inbound) // what to do with a message
	idle   func()                         // called when the goroutine has nothing left to run

	running atomic.Pointer[delivery] // nil: nothing runs

	messages atomic.Int64 // pending or running
	bytes    atomic.Int64
	most     atomic.Int64 // messages at a time
	ran      atomic.Int64 // how many deliveries have run
	waiting  atomic.Int64 // how many wait for changed
	stalled  atomic.Bool  // a reader waits for room, and goes on when half of it is free

	mu      sync.Mutex
	changed sync.Cond
	pending []item
	spare   []item // what pending was before
	pushed  int64  // how many deliveries there ever were
	active  bool   // the goroutine exists

	// The goroutine's own.
	current []item // taken from pending
	next    int    // of these, the one that runs or is to run
	inBatch int    // of that one's messages
}

// An item is one thing to run: an event, or messages.
type item struct {
	event   func(context.Context)
	session *session // of the event; nil: there has been none
	batch   *batch
}

// A delivery is an item while it runs. It is the context of the callbacks that are
// called for it, from which [Client.Shutdown] and [Client.Request] find out that they
// are called by one of them.
type delivery struct {
	context.Context
	dispatcher *dispatcher
	session    *session
	exempted   atomic.Int32 // how many calls of Shutdown are under way in it: nothing waits for it meanwhile
}

type deliveryKey struct{}

// Value implements [context.Context].
func (d *delivery) Value(key any) any {
	if key == (deliveryKey{}) {
		return d
	}
	return d.Context.Value(key)
}

// deliveryOf returns the delivery that ctx belongs to; nil: none.
func deliveryOf(ctx context.Context) *delivery {
	d, _ := ctx.Value(deliveryKey{}).(*delivery)
	return d
}

// excuse ends every wait for the callback that ctx belongs to, and prevents new ones
// until the function returned is called: that callback waits itself.
func exempt(ctx context.Context) (end func()) {
	d := deliveryOf(ctx)
	if d == nil {
		return func() {}
	}
	d.exempted.Add(1)
	d.dispatcher.wake()
	return func() { d.exempted.Add(-1) }
}

func newDispatcher(handle func(context.Context, inbound), idle func()) *dispatcher {
	d := &dispatcher{handle: handle, idle: idle}
	d.changed.L = &d.mu
	return d
}

// event runs fn after all that came before it, with the context of an event of s. It
// does not block: events are as rare as the schedule makes them.
func (d *dispatcher) event(s *session, fn func(context.Context)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.push(item{event: fn, session: s}) {
		d.start()
	}
}

// receive has n messages of so many bytes handled after all that came before them,
// and blocks while the inbox is full. Before it blocks it calls stalled; giveUp, which
// is asked again each time that wake is called, ends the wait. When it reports true the
// caller has to call loop, or start.
func (d *dispatcher) receive(b *batch, n, bytes int, stalled func(), giveUp func() bool) (idle bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full() {
		d.mu.Unlock()
		d.stalled.Store(true)
		stalled()
		d.mu.Lock()
		d.await(func() bool { return d.hasRoom() || giveUp() })
		d.stalled.Store(false)
	}
	if n := d.messages.Add(int64(n)); n > d.most.Load() {
		d.most.Store(n)
	}
	d.bytes.Add(int64(bytes))
	return d.push(item{batch: b})
}

// start has a goroutine run what is pending.
func (d *dispatcher) start() { go d.loop() }

// await waits for a change that makes done true. It is called with mu held.
func (d *dispatcher) await(done func() bool) {
	d.waiting.Add(1) // before done looks, or the change could come in between
	for !done() {
		d.changed.Wait()
	}
	d.waiting.Add(-1)
}

// isFull reports whether a message would block now, or one does: the reader that has met a
// full inbox waits until half of it is free.
func (d *dispatcher) isFull() bool { return d.full() || d.stalled.Load() }

func (d *dispatcher) stats(s *Stats) {
	s.Inbox, s.MaxInbox = int(d.messages.Load()), int(d.most.Load())
}

func (d *dispatcher) full() bool {
	return d.messages.Load() >= inboxMessages || d.bytes.Load() >= inboxBytes
}

// hasRoom is what the reader waits for once the inbox was full: for so much that it
// need not wait again for each message.
func (d *dispatcher) hasRoom() bool {
	return d.messages.Load() <= inboxMessages/2 && d.bytes.Load() <= inboxBytes/2
}

// push is called with mu held. When it reports true the caller has to call loop, or
// start.
func (d *dispatcher) push(one item) (idle bool) {
	d.pending = append(d.pending, one)
	d.pushed++
	idle = !d.active
	d.active = true
	return idle
}

// wake has everybody who waits look again.
func (d *dispatcher) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed.Broadcast()
}

// loop runs what is pending, and ends when there is no more.
//
//go:noinline
func (d *dispatcher) loop() {
	finished := false
	defer func() {
		// A callback that calls runtime.Goexit, as t.FailNow does, ends this
		// goroutine. The rest is run by another one.
		if !finished {
			d.settle()
			go d.loop()
		}
	}()
	for d.more() {
		for d.next < len(d.current) {
			d.run(d.current[d.next])
			d.settle()
		}
	}
	finished = true
	d.idle()
}

func (d *dispatcher) run(one item) {
	if one.event != nil {
		ctx := &delivery{Context: one.session.eventContext(), dispatcher: d, session: one.session}
		d.running.Store(ctx)
		one.event(ctx)
		return
	}
	ctx := d.running.Load()
	if d.inBatch == 0 {
		s := one.batch.link.session
		ctx = &delivery{Context: s.ctx, dispatcher: d, session: s}
		d.running.Store(ctx)
	}
	d.handle(ctx, one.batch.message(d.inBatch))
}

// settle moves on from what has run.
func (d *dispatcher) settle() {
	if b := d.current[d.next].batch; b != nil {
		d.messages.Add(-1)
		d.bytes.Add(-int64(len(b.messages[d.inBatch].data)))
		if d.inBatch++; d.inBatch == len(b.messages) {
			d.inBatch = 0
			b.release()
		}
	}
	if d.inBatch == 0 {
		d.running.Store(nil) // an idle client keeps no context
		d.current[d.next] = item{}
		d.next++
		d.ran.Add(1)
	}
	if d.waiting.Load() > 0 && (d.inBatch == 0 || d.hasRoom()) {
		d.wake()
	}
}

// more takes what has become pending, or ends the goroutine.
func (d *dispatcher) more() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next < len(d.current) { // left by a goroutine that was ended
		return true
	}
	clear(d.current)
	d.spare, d.current, d.next = d.current[:0], nil, 0
	if len(d.pending) == 0 {
		d.pending, d.spare = nil, nil // an idle client keeps nothing
		d.active = false
		d.changed.Broadcast()
		return false
	}
	d.current, d.pending = d.pending, d.spare
	return true
}

// now is the place behind all that has come up to now.
func (d *dispatcher) now() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pushed
}

// wait waits until all up to that place has run, or until ctx ends, the cause of which it
// returns. It does not wait for a callback that is exempted, nor for what comes behind it.
func (d *dispatcher) wait(ctx context.Context, upTo int64) error {
	defer context.AfterFunc(ctx, d.wake)()
	d.mu.Lock()
	defer d.mu.Unlock()
	done := func() bool {
		running := d.running.Load()
		return d.ran.Load() >= upTo || running != nil && running.exempted.Load() > 0
	}
	d.await(func() bool { return done() || ctx.Err() != nil })
	if done() {
		return nil
	}
	return context.Cause(ctx)
}

// isIdle reports whether nothing runs, and nothing waits to be run.
func (d *dispatcher) isIdle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.active
}
