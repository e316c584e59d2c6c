// Package outbox is a bounded queue of messages that are to be written. It holds them,
// puts the next ones in flight and records how each of them ended. It writes nothing and is
// independent of connections.
//
// Every operation takes constant time for a message, or logarithmic time if the message can
// expire. The memory of messages that have left is released.
package outbox

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// A Policy is what [Outbox.Push] does when the outbox is full.
type Policy int

const (
	// Fail returns an error.
	Fail Policy = iota
	// Wait waits for room, first come, first served.
	Wait
	// DropOldest drops the oldest messages. When all others are in flight, direct or kept,
	// the message is accepted beyond the bound, so that it never waits.
	DropOldest
)

// A Config is how an outbox behaves.
type Config[V any] struct {
	Messages, Bytes int // the bounds; with zero messages every item is direct, unless it is kept
	Policy          Policy

	// The errors with which messages are not accepted, or leave without being written.
	Full, TooBig, Expired, NotOpen, Closed error

	// Accepted is called for each item that is accepted. Dropped is called for each accepted
	// one that has expired or has made room, or is direct and Lost was called. They must not
	// block, and must not call the outbox.
	Accepted func(*Item[V])
	Dropped  func(*Item[V], error)
}

// An Outbox is a queue of items. Items are accepted, wait, are in flight, which means that
// they are being written, and leave. Its methods may be called from any goroutine.
type Outbox[V any] struct {
	cfg Config[V]

	mu        sync.Mutex     // guards the fields below, and those of the items
	waiting   [kinds]line[V] // in the order of acceptance
	expiring  expiring[V]    // those of waiting that can expire
	inFlight  []*Item[V]     // older than all that wait
	flight    uint64         // the number of the last batch that was in flight
	n, bytes  int            // of waiting and inFlight
	most      int            // the highest n
	place     uint64         // of the item that was accepted last
	room      line[V]        // items whose calls of Push wait for room
	flushing  list.List      // of *flush, in the order of upTo
	open      bool           // direct items are accepted
	lost      error          // with which they leave otherwise
	refuse    error          // nothing is accepted, with this error; nil: items are
	finishing bool           // kept items are accepted all the same
	refused   uint64         // the value of place when refuse was set
	takenBack error          // with which items were taken back since Refuse(nil); nil: none were
}

// portion is how many items TakeBack takes before it lets other calls go on.
const portion = 256

// New returns an empty outbox, which is not open.
func New[V any](cfg Config[V]) *Outbox[V] {
	return &Outbox[V]{cfg: cfg, lost: cfg.NotOpen}
}

// Push accepts an item, unless it has been withdrawn. It blocks while the outbox is full, if
// the policy is [Wait].
func (o *Outbox[V]) Push(ctx context.Context, it *Item[V]) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	it.Direct = !it.Kept && (it.Direct || o.cfg.Messages == 0)
	switch {
	case it.state == gone:
		return it.err
	case o.refuse != nil && !(o.finishing && it.Kept):
		return o.refuse
	case it.Direct && !o.open:
		return o.cfg.NotOpen
	case it.Direct || it.Kept:
	case it.Size > o.cfg.Bytes:
		return fmt.Errorf("%w: %w: %d bytes of at most %d, see WithQueue", o.cfg.Full, o.cfg.TooBig, it.Size, o.cfg.Bytes)
	case !o.hasRoom(it):
		switch o.cfg.Policy {
		case Fail:
			return fmt.Errorf("%w: %d messages, %d bytes", o.cfg.Full, o.n, o.bytes)
		case Wait:
			return o.awaitRoom(ctx, it)
		}
	}
	o.accept(it)
	return nil
}

// hasRoom drops what has expired and, by the policy, the oldest items, if the outbox is full
// for it, and reports whether it is not any more. It is called with mu held.
func (o *Outbox[V]) hasRoom(it *Item[V]) bool {
	if o.fits(it) {
		return true
	}
	o.dropExpired()
	if o.cfg.Policy == DropOldest {
		for o.waiting[plain].first != nil && !o.fits(it) {
			o.drop(o.waiting[plain].first, o.cfg.Full)
		}
	}
	return o.fits(it)
}

// dropExpired drops what has expired. It is called with mu held.
func (o *Outbox[V]) dropExpired() {
	for now := time.Now(); len(o.expiring) > 0 && o.expiring[0].expired(now); {
		o.drop(o.expiring[0], o.cfg.Expired)
	}
}

// first returns the oldest item that waits, or nil. It is called with mu held.
func (o *Outbox[V]) first() (oldest *Item[V]) {
	for i := range o.waiting {
		if it := o.waiting[i].first; it != nil && (oldest == nil || it.place < oldest.place) {
			oldest = it
		}
	}
	return oldest
}

// fits reports whether there is room for it, and none that others wait for. It is called
// with mu held.
func (o *Outbox[V]) fits(it *Item[V]) bool {
	first := o.room.first
	return (first == nil || first == it) && o.n+1 <= o.cfg.Messages && it.Size <= o.cfg.Bytes-o.bytes
}

// awaitRoom blocks until the item is accepted or will not be. It is called with mu held, and
// releases it while it blocks.
func (o *Outbox[V]) awaitRoom(ctx context.Context, it *Item[V]) error {
	ended := ctx.Done() // before it waits, since a method of a context may panic
	changed := it.awaited()
	it.state = forRoom
	o.room.pushBack(it)
	o.mu.Unlock()
	select {
	case <-changed:
		o.mu.Lock()
	case <-ended:
		o.mu.Lock()
		if it.state == forRoom {
			o.leave(it, fmt.Errorf("%w: %w", o.cfg.Full, context.Cause(ctx)))
		}
	}
	if it.place > 0 { // it was accepted, whatever has become of it since
		return nil
	}
	return it.err
}

// admit accepts items that wait for room while there is some. It is called with mu held,
// after something has left.
func (o *Outbox[V]) admit() {
	for it := o.room.first; it != nil && o.fits(it); it = o.room.first {
		o.room.remove(it)
		o.accept(it)
		it.wake()
	}
}

// accept puts an item behind all others. It is called with mu held.
func (o *Outbox[V]) accept(it *Item[V]) {
	o.place++
	it.place, it.state = o.place, waits
	o.waiting[it.kind()].pushBack(it)
	o.expiring.add(it)
	o.n++
	o.bytes += it.Size
	o.most = max(o.most, o.n)
	o.cfg.Accepted(it)
}

// Written blocks until an item that was pushed is written, and returns nil, or until it has
// left otherwise, or ctx ends: then it is withdrawn.
func (o *Outbox[V]) Written(ctx context.Context, it *Item[V]) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if it.state == gone {
		return it.err
	}
	ended := ctx.Done()
	changed := it.awaited()
	o.mu.Unlock()
	select {
	case <-changed:
		o.mu.Lock()
		return it.err
	case <-ended:
		o.mu.Lock()
		if it.state == gone {
			return it.err
		}
		o.withdraw(it)
		return context.Cause(ctx)
	}
}

// Next puts the next items in flight, until Settle is called: of those that wait the first
// ones, at most so many, and of at most so many bytes unless it is a single one. It appends
// them to batch, which is the outbox's until Settle, and returns the number of the flight.
// may is called with each item and the number of items in the batch before it; the batch ends
// where it returns false. It must not call the outbox. Nothing may be in flight.
func (o *Outbox[V]) Next(batch []*Item[V], most, bytes int, may func(it *Item[V], n int) bool) ([]*Item[V], uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	size, now := 0, time.Time{}
	for it := o.first(); it != nil && len(batch) < most; it = o.first() {
		if !it.Expires.IsZero() {
			if now.IsZero() {
				now = time.Now()
			}
			if it.expired(now) {
				o.drop(it, o.cfg.Expired)
				continue
			}
		}
		size += it.Size
		if n := len(batch); n > 0 && (size > bytes || it.Alone || batch[0].Alone) || !may(it, n) {
			break
		}
		o.waiting[it.kind()].remove(it)
		o.expiring.remove(it)
		it.state = inFlight
		batch = append(batch, it)
		o.inFlight = batch
	}
	o.flight++
	return batch, o.flight
}

// Settle ends a flight: the first n items are written; the others wait again, at the front,
// unless they have been withdrawn or have expired meanwhile. It returns false if another call
// has ended it before.
func (o *Outbox[V]) Settle(flight uint64, n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if flight != o.flight || o.inFlight == nil {
		return false
	}
	batch := o.inFlight
	o.inFlight = nil
	for _, it := range batch[:n] {
		o.left(it, nil)
	}
	for _, it := range slices.Backward(batch[n:]) {
		switch {
		case it.abandoned:
			o.left(it, context.Canceled)
		case it.Direct && !o.open:
			o.left(it, o.lost)
			o.cfg.Dropped(it, o.lost)
		default:
			it.state = waits
			o.waiting[it.kind()].pushFront(it)
			o.expiring.add(it)
		}
	}
	if n < len(batch) {
		o.dropExpired()
	}
	o.changed()
	return true
}

// left ends an accepted item that is in no line, with nil if it is written. It is called with
// mu held; the caller must call changed.
func (o *Outbox[V]) left(it *Item[V], err error) {
	it.state, it.err = gone, err
	o.n--
	o.bytes -= it.Size
	it.wake()
}

// leave ends an item that waits. It is called with mu held.
func (o *Outbox[V]) leave(it *Item[V], err error) {
	if it.state == forRoom {
		o.room.remove(it)
		it.state, it.err = gone, err
		it.wake()
	} else {
		o.waiting[it.kind()].remove(it)
		o.expiring.remove(it)
		o.left(it, err)
	}
	o.changed()
}

// drop is leave for an item that is to be reported. It is called with mu held.
func (o *Outbox[V]) drop(it *Item[V], why error) {
	accepted := it.state == waits
	if o.leave(it, why); accepted {
		o.cfg.Dropped(it, why)
	}
}

// Drop drops an item, unless it is in flight or has left. One that was not pushed yet will not
// be accepted.
func (o *Outbox[V]) Drop(it *Item[V], why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch it.state {
	case fresh:
		it.state, it.err = gone, why
	case waits, forRoom:
		o.drop(it, why)
	}
}

// Withdraw ends an item whose call returns, and reports nothing. The item is not written from
// now on; if it is in flight, it does not wait again. One that was not pushed yet will not be accepted.
func (o *Outbox[V]) Withdraw(it *Item[V]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.withdraw(it)
}

// withdraw is Withdraw with mu held.
func (o *Outbox[V]) withdraw(it *Item[V]) {
	switch it.state {
	case fresh:
		it.state, it.err = gone, context.Canceled
	case waits, forRoom:
		o.leave(it, context.Canceled)
	case inFlight:
		it.abandoned = true
	}
}

// Fate reports whether an item has left, and with which error; nil: it is written.
func (o *Outbox[V]) Fate(it *Item[V]) (left bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return it.state == gone, it.err
}

// Open accepts direct items from now on.
func (o *Outbox[V]) Open() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = true
}

// Lost accepts no direct items any more, and ends those that wait, with err.
func (o *Outbox[V]) Lost(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.lost = false, err
	for o.waiting[direct].first != nil {
		o.drop(o.waiting[direct].first, err)
	}
	o.changed()
}

// Refuse accepts nothing from now on, with err; with nil it accepts items again.
func (o *Outbox[V]) Refuse(err error) { o.setRefusal(err, false) }

// Finish accepts kept items only from now on.
func (o *Outbox[V]) Finish() { o.setRefusal(o.cfg.Closed, true) }

func (o *Outbox[V]) setRefusal(err error, finishing bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refuse, o.finishing, o.refused = err, finishing, o.place
	if err == nil {
		o.takenBack = nil
	}
	for err != nil && o.room.first != nil {
		it := o.room.first
		o.room.remove(it)
		it.state, it.err = gone, err
		it.wake()
	}
	o.changed()
}

// Refusal returns the error with which items are refused; nil: they are accepted.
func (o *Outbox[V]) Refusal() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refuse
}

// TakeBack removes all items that were accepted before the last call of Refuse, and returns
// them in order, without those that are direct or kept, which calls wait for. All of these
// end with err. Nothing may be in flight. Other calls wait for a portion of it only.
func (o *Outbox[V]) TakeBack(err error) (back []*Item[V]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	upTo := o.refused
	for n := 1; ; n++ {
		it := o.first()
		if it == nil || it.place > upTo {
			return back
		}
		if n == 1 {
			o.takenBack = o.refuse // otherwise items are accepted again already
			o.endFlushes(math.MaxUint64, err)
		}
		if o.leave(it, err); it.kind() == plain {
			back = append(back, it)
		}
		if n%portion == 0 {
			o.mu.Unlock()
			o.mu.Lock()
		}
	}
}

// Place returns a place in the order of the items, behind all that have been accepted.
func (o *Outbox[V]) Place() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.place++
	return o.place
}

// Stats are the figures of an outbox.
type Stats struct {
	Messages, Bytes int // how much waits or is in flight
	Most            int // the highest value of Messages
}

// Stats returns the figures of now.
func (o *Outbox[V]) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Stats{o.n, o.bytes, o.most}
}
