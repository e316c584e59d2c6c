// Package serial runs items one at a time and in order, on a goroutine that exists only while
// there is something to run: one of its own, or the goroutine that puts the items in. Items with
// keys run at the same time as those with other keys, in order within a key.
package serial

import (
	"context"
	"sync"
	"sync/atomic"
)

// An Item is what a [Queue] runs. Its type embeds a [Node].
type Item interface {
	// Run runs the item, whose number in the queue is number, from 1. When runtime.Goexit
	// ends the goroutine, Run is called again, on another one, until it returns. The queue
	// does not use the item after that.
	Run(number int64)
	node() *Node
}

// A Node is the place of an [Item] in a [Queue].
type Node struct {
	next   Item
	number int64
	key    string
	keyed  bool
}

func (n *Node) node() *Node { return n }

// SetKey sets the key of an item that is not in a queue. An item without a key runs alone: after all
// items before it, and before all items behind it.
func (n *Node) SetKey(key string) { n.key, n.keyed = key, true }

// A Source is where a producer takes its items from, such as a connection.
type Source interface {
	// Stall is called before the producer waits for room in a queue, and Resume after that.
	Stall()
	Resume()
	// Over reports whether the wait is to end although there is no room. It is called after
	// each [Queue.Wake], with the queue's mutex held.
	Over() bool
}

// A Queue holds items, and runs them. It is made with [New]; its methods may be called from
// any goroutine, also from an item.
type Queue struct {
	maxCount, maxBytes int64
	idle               func()
	run                func() // loop; a go statement with it allocates nothing

	count   atomic.Int64 // of what has been put in and is not done
	bytes   atomic.Int64 // of the same
	most    atomic.Int64 // highest value of count
	ran     atomic.Int64 // how many items have run
	waiting atomic.Int32 // how many goroutines wait for changed
	stalled atomic.Bool  // the producer waits for room

	mu       sync.Mutex // guards the fields below
	running  Item       // without a key; nil: none
	first    Item       // of those behind it, and not in a lane; nil: none
	last     Item       // valid while first is not nil
	added    int64      // how many items have been put in
	active   bool       // a goroutine runs items
	exempted int        // how many calls of Exempt concern running
	lanes               // of items with keys

	changed chan struct{} // closed at the next change; nil: nothing waits for it
}

// New returns a queue with bounds for what its items count, and for their bytes. idle is
// called when nothing is left to run for a goroutine that ran items, on that goroutine.
func New(maxCount, maxBytes int, idle func()) *Queue {
	q := &Queue{maxCount: int64(maxCount), maxBytes: int64(maxBytes), idle: idle}
	q.run = q.loop
	return q
}

// Add makes an item run after all items before it. It does not block, and is for items that
// are too rare to need a bound.
func (q *Queue) Add(item Item) {
	if q.add(item) {
		go q.run()
	}
}

// Put is [Queue.Add] for an item with the given count and bytes. While a bound is reached it
// blocks, until half of the queue is free, so that it does not block again for each item.
// There must be only one producer at a time.
func (q *Queue) Put(item Item, count, bytes int, from Source) {
	if q.put(item, count, bytes, from) {
		go q.run()
	}
}

// put is Put, but starts no goroutine. If it returns true, the caller must do so, or call loop.
func (q *Queue) put(item Item, count, bytes int, from Source) (idle bool) {
	if q.reached(q.maxCount, q.maxBytes) {
		q.awaitRoom(from)
	}
	q.bytes.Add(int64(bytes))
	if n := q.count.Add(int64(count)); n > q.most.Load() {
		q.most.Store(n)
	}
	return q.add(item)
}

// Done records that a part of the running item is done, which was put in with that count and
// these bytes.
func (q *Queue) Done(count, bytes int) {
	q.count.Add(int64(-count))
	q.bytes.Add(int64(-bytes))
	if q.waiting.Load() > 0 && q.hasRoom() {
		q.Wake()
	}
}

// reached reports whether one of two bounds is reached.
func (q *Queue) reached(count, bytes int64) bool {
	return q.count.Load() >= count || q.bytes.Load() >= bytes
}

// hasRoom reports whether half of the queue is free.
func (q *Queue) hasRoom() bool { return !q.reached(q.maxCount/2+1, q.maxBytes/2+1) }

func (q *Queue) awaitRoom(from Source) {
	q.stalled.Store(true) // before Stall, which fails what must not wait while IsFull
	from.Stall()
	q.mu.Lock()
	_ = q.await(context.Background(), func() bool { return q.hasRoom() || from.Over() })
	q.mu.Unlock()
	q.stalled.Store(false)
	from.Resume()
}

// add appends an item. If it returns true, the caller must run the items.
func (q *Queue) add(item Item) (idle bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == nil {
		q.first = item
	} else {
		q.last.node().next = item
	}
	q.last = item
	q.added++
	item.node().number = q.added
	if q.running == nil && q.spread() {
		return false
	}
	idle = !q.active
	q.active = true
	return idle
}

// loop runs the items without keys, and returns when there is none, or when they wait for items with
// keys.
//
//go:noinline
func (q *Queue) loop() {
	finished := false
	defer func() {
		if !finished { // runtime.Goexit
			go q.run()
		}
	}()
	for item := q.current(); item != nil; item = q.next() {
		item.Run(q.ran.Load() + 1)
	}
	finished = true
	q.idle()
}

// current returns the item to run: one that runtime.Goexit has ended, or the first one, which has no key.
func (q *Queue) current() Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running == nil {
		q.pop()
	}
	return q.running
}

// next returns the item after the running one, which has run. Without one that can run now it returns nil,
// and the caller must not run items any more.
func (q *Queue) next() Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ran.Add(1)
	q.exempted = 0
	if q.running = nil; !q.spread() {
		q.pop()
	}
	q.active = q.running != nil || q.busy > 0
	q.change()
	return q.running
}

// pop makes the first item the running one. It is called with mu held.
func (q *Queue) pop() {
	if q.running = q.first; q.running != nil {
		q.shift()
	}
}

// shift removes the first item from those that are not in a lane. It is called with mu held.
func (q *Queue) shift() {
	n := q.first.node()
	if q.first, n.next = n.next, nil; q.first == nil {
		q.last = nil // an idle queue retains no item
	}
}

// change wakes all goroutines in await. It is called with mu held.
func (q *Queue) change() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// Wake makes goroutines that wait check [Source.Over] again.
func (q *Queue) Wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.change()
}

// await blocks until done returns true, and then returns nil, or until ctx ends, the cause of
// which it returns. It is called with mu held, calls done and returns with mu held, and
// releases it while it blocks.
func (q *Queue) await(ctx context.Context, done func() bool) error {
	q.waiting.Add(1) // before the call of done, or Done could miss it
	defer q.waiting.Add(-1)
	for !done() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if q.changed == nil {
			q.changed = make(chan struct{})
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		q.mu.Lock()
	}
	return nil
}

// Added returns how many items have been put in.
func (q *Queue) Added() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.added
}

// Wait blocks until the first upTo items have run, or until ctx ends, the cause of which it
// returns. It does not wait for an item that is exempted, nor for the items that wait for it.
func (q *Queue) Wait(ctx context.Context, upTo int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.await(ctx, func() bool {
		if q.running != nil {
			return q.ran.Load() >= upTo || q.exempted > 0
		}
		return q.lanes.haveRun(upTo, q.first)
	})
}

// IsRunning reports whether the item of that number, which has begun to run, still runs.
func (q *Queue) IsRunning(number int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.exemptions(number) != nil
}

// exemptions returns the count of calls of Exempt for the item of that number; nil: it does not run. It
// is called with mu held.
func (q *Queue) exemptions(number int64) *int {
	if q.running != nil && number == q.ran.Load()+1 { // all before it have run
		return &q.exempted
	}
	return q.lanes.exemptions(number)
}

// Exempt exempts an item that runs from all calls of [Queue.Wait] until end is called: of two
// items that wait for each other, neither would end. It has no effect when the item has run.
func (q *Queue) Exempt(number int64) (end func()) {
	q.exempt(number, 1)
	return func() { q.exempt(number, -1) }
}

func (q *Queue) exempt(number int64, calls int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := q.exemptions(number); n != nil {
		*n += calls
		q.change()
	}
}

// IsFull reports whether the producer waits for room, or would with the next item.
func (q *Queue) IsFull() bool { return q.stalled.Load() || q.reached(q.maxCount, q.maxBytes) }

// IsIdle reports whether there is nothing to run.
func (q *Queue) IsIdle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.active
}

// Count returns what has been put in and is not done, and the most that it ever was.
func (q *Queue) Count() (now, most int) { return int(q.count.Load()), int(q.most.Load()) }
