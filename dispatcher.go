package wechatws

import (
	"reflect"
	"runtime"
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
	handle func(inbound) // what to do with a message

	messages atomic.Int64 // pending or running
	bytes    atomic.Int64
	most     atomic.Int64 // messages at a time
	ran      atomic.Int64 // how many deliveries have run
	waiting  atomic.Int64 // how many wait for changed
	stalled  atomic.Bool  // a reader waits for room, and goes on when half of it is free

	mu      sync.Mutex
	changed sync.Cond
	pending []delivery
	spare   []delivery // what pending was before
	pushed  int64      // how many deliveries there ever were
	running bool       // the goroutine exists

	// The goroutine's own.
	current []delivery // taken from pending
	next    int        // of these, the one that runs or is to run
	inBatch int        // of that one's messages
}

// A delivery is one thing to run: an event, or messages.
type delivery struct {
	event func()
	batch *batch
}

func newDispatcher(handle func(inbound)) *dispatcher {
	d := &dispatcher{handle: handle}
	d.changed.L = &d.mu
	return d
}

// event runs fn after all that came before it. It does not block: events are as
// rare as the schedule makes them.
func (d *dispatcher) event(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.push(delivery{event: fn}) {
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
	return d.push(delivery{batch: b})
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
func (d *dispatcher) push(item delivery) (idle bool) {
	d.pending = append(d.pending, item)
	d.pushed++
	idle = !d.running
	d.running = true
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
}

func (d *dispatcher) run(item delivery) {
	if item.event != nil {
		item.event()
	} else {
		d.handle(item.batch.message(d.inBatch))
	}
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
		d.current[d.next] = delivery{}
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
		d.running = false
		d.changed.Broadcast()
		return false
	}
	d.current, d.pending = d.pending, d.spare
	return true
}

// waitIdle waits until all that has come up to now has run, and the goroutine is
// gone unless more has come.
func (d *dispatcher) waitIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	upTo := d.pushed
	d.await(func() bool { return !d.running || d.ran.Load() >= upTo && d.pushed != upTo })
}

// inside tells on which of the goroutines of any client the caller runs, in one
// of the user's functions: the dispatcher, or one that belongs to a session (the
// endpoint, login and opening functions, a heartbeat's, a WithNetDial). Who waits
// for a goroutine from within itself waits for ever.
//
// It cannot tell whose client it is, and must not: two clients that close each
// other from their callbacks must not wait for each other either. Close has no
// context to tell this by. Looking at the stack costs about as much as a system
// call, in calls that are rare.
func inside() (dispatching, owned bool) {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		if n == 0 {
			return false, false
		}
		frames := runtime.CallersFrames(pcs[:n])
		for more := true; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			switch frame.Entry {
			case entry((*dispatcher).loop): // perhaps in a session's goroutine, which is relieved before anybody waits
				return true, false
			case entry((*session).run), entry((*heartbeat).tick), entry(runApart):
				return false, true
			}
		}
	}
}

// entry is the address that a function has in a stack frame.
func entry(fn any) uintptr { return reflect.ValueOf(fn).Pointer() }
