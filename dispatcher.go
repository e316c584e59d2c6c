package wechatws

import (
	"reflect"
	"runtime"
	"runtime/debug"
	"sync"
)

// The inbox's bounds. When one is reached the reader waits, so that
// back-pressure reaches the peer through TCP.
const (
	inboxMessages = 256
	inboxBytes    = 4 << 20
)

// A dispatcher runs callbacks, one at a time and in order, on a goroutine that
// exists only while there is something to run. It belongs to the client rather
// than to a session, so that callbacks stay one at a time when a callback closes
// the client and connects it again.
type dispatcher struct {
	handle func(inbound) // what to do with a message

	mu       sync.Mutex
	changed  sync.Cond
	pending  []delivery
	messages int // pending or running
	bytes    int
	running  bool // the goroutine exists
	pushed   int  // how many there ever were
	ran      int  // how many of them have run
}

// A delivery is one thing to run: an event, or, without one, a message.
type delivery struct {
	event func()
	inbound
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
	d.push(delivery{event: fn})
}

// message has in handled after all that came before it, and blocks while the
// inbox is full. Before it blocks it calls stalled; giveUp, which is asked again
// each time that wake is called, ends the wait.
func (d *dispatcher) message(in inbound, stalled func(), giveUp func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full() {
		d.mu.Unlock()
		stalled()
		d.mu.Lock()
	}
	for d.full() && !giveUp() {
		d.changed.Wait()
	}
	d.messages++
	d.bytes += len(in.data)
	d.push(delivery{inbound: in})
}

// isFull tells whether a message would block now.
func (d *dispatcher) isFull() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.full()
}

// depth is how many messages are pending or running.
func (d *dispatcher) depth() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.messages
}

func (d *dispatcher) full() bool { return d.messages >= inboxMessages || d.bytes >= inboxBytes }

// push is called with mu held.
func (d *dispatcher) push(item delivery) {
	d.pending = append(d.pending, item)
	d.pushed++
	if !d.running {
		d.running = true
		go d.loop()
	}
}

// wake has every blocked message ask its giveUp again.
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
			go d.loop()
		}
	}()
	d.mu.Lock()
	for len(d.pending) > 0 {
		item := d.pending[0]
		d.pending[0] = delivery{}
		d.pending = d.pending[1:]
		d.mu.Unlock()
		d.run(item)
		d.mu.Lock()
	}
	d.pending = nil
	d.running = false
	finished = true
	d.changed.Broadcast()
	d.mu.Unlock()
}

func (d *dispatcher) run(item delivery) {
	defer func() { // also when the callback calls runtime.Goexit
		d.mu.Lock()
		d.ran++
		if item.event == nil {
			d.messages--
			d.bytes -= len(item.data)
		}
		d.changed.Broadcast()
		d.mu.Unlock()
	}()
	if item.event != nil {
		item.event()
	} else {
		d.handle(item.inbound)
	}
}

// waitIdle waits until all that has come up to now has run, and the goroutine is
// gone unless more has come.
func (d *dispatcher) waitIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for upTo := d.pushed; d.running && (d.ran < upTo || d.pushed == upTo); {
		d.changed.Wait()
	}
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
			return dispatching, owned
		}
		frames := runtime.CallersFrames(pcs[:n])
		for more := true; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			switch frame.Entry {
			case entry((*dispatcher).loop):
				dispatching = true
			case entry((*session).run), entry((*heartbeat).tick), entry((*dialing).dialNet):
				owned = true
			}
		}
	}
}

// entry is the address that a function has in a stack frame.
func entry(fn any) uintptr { return reflect.ValueOf(fn).Pointer() }

// protect runs one of the user's functions, and makes a panic in it an error.
func protect(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fn()
}
