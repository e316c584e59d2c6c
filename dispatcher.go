package wechatws

import (
	"context"
	"sync"
	"sync/atomic"
)

// The bounds of the inbox. When one is reached, the reader goroutine waits until half of the
// inbox is free, so that back-pressure reaches the peer through TCP.
const (
	inboxMessages = 1024
	inboxBytes    = 4 << 20
)

// A dispatcher holds the inbox and runs callbacks, one at a time and in order, on a
// goroutine that exists only while there is something to run: one of its own, or the reader
// goroutine (see handoff.go). It belongs to the client rather than to a session, so that
// callbacks run one at a time also when one of them closes and reconnects the client.
type dispatcher struct {
	handle func(context.Context, inbound) // handles one message
	idle   func()                         // called when nothing is left to run

	running atomic.Pointer[delivery] // nil: nothing runs

	messages atomic.Int64 // how many are pending or being handled
	bytes    atomic.Int64 // of these
	most     atomic.Int64 // highest value of messages
	ran      atomic.Int64 // how many items have run
	waiting  atomic.Int64 // how many goroutines wait for changed
	stalled  atomic.Bool  // the reader waits for room

	// Used on the dispatcher's goroutine only.
	current []item // taken from pending
	next    int    // index in current of the item that runs
	inBatch int    // index in its batch of the message that is handled

	mu      sync.Mutex // guards the fields below
	changed sync.Cond  // see wake
	pending []item
	spare   []item // the slice that pending was before
	pushed  int64  // how many items were pushed
	active  bool   // the goroutine exists
}

// An item is either an event or a batch of messages.
type item struct {
	event   func(context.Context)
	session *session // of the event; nil: before the first Connect
	batch   *batch
}

// A delivery is the context of the callbacks of one item. By it [Client.Shutdown] and
// [Client.Request] recognise that they are called in one of them.
type delivery struct {
	context.Context
	dispatcher *dispatcher
	session    *session
	exempted   atomic.Int32 // how many calls that wait for callbacks were made with it; see exempt
}

// deliveryKey is the key of the delivery in contexts derived from it.
type deliveryKey struct{}

// Value implements [context.Context].
func (d *delivery) Value(key any) any {
	if key == (deliveryKey{}) {
		return d
	}
	return d.Context.Value(key)
}

// deliveryOf returns the delivery that ctx is derived from; nil: none.
func deliveryOf(ctx context.Context) *delivery {
	d, _ := ctx.Value(deliveryKey{}).(*delivery)
	return d
}

// exempt exempts the callback that ctx is derived from, if any, from all waits for callbacks
// until end is called. The caller is about to wait for callbacks itself, and two callbacks
// that wait for each other would deadlock.
func exempt(ctx context.Context) (end func()) {
	d := deliveryOf(ctx)
	if d == nil {
		return func() {}
	}
	d.exempted.Add(1)
	d.dispatcher.wake()
	return func() { d.exempted.Add(-1) }
}

// newDispatcher returns a dispatcher whose messages are handled by handle.
func newDispatcher(handle func(context.Context, inbound), idle func()) *dispatcher {
	d := &dispatcher{handle: handle, idle: idle}
	d.changed.L = &d.mu
	return d
}

// event makes fn run after all items before it, with the context for events of s. It does
// not block; events are too rare to need a bound.
func (d *dispatcher) event(s *session, fn func(context.Context)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.push(item{event: fn, session: s}) {
		d.start()
	}
}

// receive puts a batch of n messages into the inbox. While that is full it blocks, unless
// giveUp, which is called again after each wake, returns true; before it blocks it calls
// stalled. If it returns true, the caller must call loop or start.
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

// start starts the dispatcher's goroutine.
func (d *dispatcher) start() { go d.loop() }

// await blocks until done returns true. It is called with mu held, calls done and returns
// with mu held, and releases it while it blocks.
func (d *dispatcher) await(done func() bool) {
	d.waiting.Add(1) // before the call of done, or settle could miss it
	for !done() {
		d.changed.Wait()
	}
	d.waiting.Add(-1)
}

// isFull reports whether the reader waits for room, or would with the next message.
func (d *dispatcher) isFull() bool { return d.full() || d.stalled.Load() }

// stats sets the inbox's fields of s.
func (d *dispatcher) stats(s *Stats) {
	s.Inbox, s.MaxInbox = int(d.messages.Load()), int(d.most.Load())
}

// full reports whether a bound is reached.
func (d *dispatcher) full() bool {
	return d.messages.Load() >= inboxMessages || d.bytes.Load() >= inboxBytes
}

// hasRoom reports whether half of the inbox is free. The reader waits for that, so that it
// does not wait again for each message.
func (d *dispatcher) hasRoom() bool {
	return d.messages.Load() <= inboxMessages/2 && d.bytes.Load() <= inboxBytes/2
}

// push appends an item. If it returns true, the caller must call loop or start. It is called
// with mu held.
func (d *dispatcher) push(one item) (idle bool) {
	d.pending = append(d.pending, one)
	d.pushed++
	idle = !d.active
	d.active = true
	return idle
}

// wake wakes all waiting goroutines, which check their conditions again.
func (d *dispatcher) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed.Broadcast()
}

// loop runs what is pending, and returns when there is no more.
//
//go:noinline
func (d *dispatcher) loop() {
	finished := false
	defer func() {
		// A callback that calls runtime.Goexit, as t.FailNow does, ends this goroutine.
		// Another one runs the rest.
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

// run runs an event, or handles the next message of a batch.
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

// settle is called when an event has run or a message is handled. It advances to the next
// one, and wakes waiting goroutines.
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
		d.running.Store(nil) // an idle client retains no context
		d.current[d.next] = item{}
		d.next++
		d.ran.Add(1)
	}
	if d.waiting.Load() > 0 && (d.inBatch == 0 || d.hasRoom()) {
		d.wake()
	}
}

// more takes the pending items, and reports whether there are any. If not, the caller is not
// the dispatcher's goroutine any more.
func (d *dispatcher) more() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next < len(d.current) { // left by a goroutine that runtime.Goexit has ended
		return true
	}
	clear(d.current)
	d.spare, d.current, d.next = d.current[:0], nil, 0
	if len(d.pending) == 0 {
		d.pending, d.spare = nil, nil // an idle client retains no memory
		d.active = false
		d.changed.Broadcast()
		return false
	}
	d.current, d.pending = d.pending, d.spare
	return true
}

// now returns the number of items up to now, to be given to wait.
func (d *dispatcher) now() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pushed
}

// wait blocks until the first upTo items have run, or until ctx ends, the cause of which it
// returns. It does not wait for a callback that is exempted, nor for the items after it.
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

// isIdle reports whether nothing runs and nothing is pending.
func (d *dispatcher) isIdle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.active
}
