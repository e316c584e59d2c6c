package wechatws

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
)

// QueuePolicy is what Send does when the outbound queue is full.
type QueuePolicy int

const (
	// QueueFail returns ErrQueueFull. It is the default.
	QueueFail QueuePolicy = iota
	// QueueWait waits for room until the context of Send ends.
	QueueWait
	// QueueDropOldest makes room by dropping the oldest messages, and tells
	// OnError about them in a *DroppedError.
	QueueDropOldest
)

// Outgoing is a message on its way out, as it is on the wire.
type Outgoing struct {
	Type MessageType
	Data []byte
}

// An outgoing is an Outgoing in the queue.
type outgoing struct {
	Outgoing
	late  bool   // to be encoded again for the connection that it is written to
	value any    // from which
	size  int    // when it was accepted
	seq   uint64 // position among all that was ever accepted
	link  *link  // that wrote it
	gone  bool   // it left the queue: written, or given up with err
	err   error
}

// A queue holds what was accepted and is not written yet, across connections.
// A message stays at the front while it is being written and leaves when the
// write has succeeded, so a failed write leaves it first in line for the next
// connection.
type queue struct {
	cfg     *config
	dropped func(Outgoing) // told of each dropped message

	mu        sync.Mutex
	items     []*outgoing
	bytes     int
	inFlight  int    // this many at the front are being written
	seq       uint64 // of the message accepted last
	takenBack uint64 // of the last message that was taken back
	refuse    error  // why nothing is accepted; nil while things are
	link      *link  // the connection that may write; nil while there is none
	changed   chan struct{}
}

// wait returns a channel that is closed at the next change. It is called with mu
// held.
func (q *queue) wait() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// change wakes all who wait. It is called with mu held.
func (q *queue) change() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// await blocks until done, which is called with mu held, has returned true. It
// returns with mu held, whatever it returns.
func (q *queue) await(ctx context.Context, done func() bool) error {
	for !done() {
		changed := q.wait()
		q.mu.Unlock()
		select {
		case <-changed:
			q.mu.Lock()
		case <-ctx.Done():
			q.mu.Lock()
			return context.Cause(ctx)
		}
	}
	return nil
}

func (q *queue) full(size int) bool {
	return len(q.items)+1 > q.cfg.queueMessages || q.bytes+size > q.cfg.queueBytes
}

// push accepts a message. With a queue of size 0 it returns when the message has
// been written.
func (q *queue) push(ctx context.Context, m *outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	unqueued := q.cfg.queueMessages == 0
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case q.refuse != nil:
		return q.refuse
	case unqueued && q.link == nil:
		return ErrNotOpen
	case !unqueued && len(m.Data) > q.cfg.queueBytes:
		return fmt.Errorf("%w: message of %d bytes is larger than the whole queue (%d bytes, see WithQueue)", ErrQueueFull, len(m.Data), q.cfg.queueBytes)
	case !unqueued && q.full(len(m.Data)):
		if err := q.makeRoom(ctx, len(m.Data)); err != nil {
			return err
		}
	}
	q.seq++
	m.seq, m.size = q.seq, len(m.Data)
	q.items = append(q.items, m)
	q.bytes += m.size
	if q.link != nil {
		q.link.startWriter()
	}
	if !unqueued {
		return nil
	}
	if err := q.await(ctx, func() bool { return m.gone }); err != nil {
		q.withdraw(m)
		return err
	}
	return m.err
}

// makeRoom does what the policy says about a queue that is full. It is called
// with mu held.
func (q *queue) makeRoom(ctx context.Context, size int) error {
	if q.cfg.whenFull == QueueDropOldest {
		for q.full(size) && len(q.items) > q.inFlight {
			q.dropped(q.remove(q.inFlight, ErrQueueFull).Outgoing)
		}
	}
	if q.cfg.whenFull == QueueFail {
		return fmt.Errorf("%w: %d messages, %d bytes", ErrQueueFull, len(q.items), q.bytes)
	}
	// What is being written cannot be dropped any more, but will be gone soon.
	if err := q.await(ctx, func() bool { return q.refuse != nil || !q.full(size) }); err != nil {
		return fmt.Errorf("%w: %w", ErrQueueFull, err)
	}
	return q.refuse
}

// remove takes one message out. It is called with mu held.
func (q *queue) remove(i int, err error) *outgoing {
	item := q.items[i]
	item.gone, item.err = true, err
	q.bytes -= item.size
	q.items = slices.Delete(q.items, i, i+1)
	q.change()
	return item
}

// withdraw takes a message back unless it is being written or gone. It is called
// with mu held.
func (q *queue) withdraw(item *outgoing) {
	if i := slices.Index(q.items, item); i >= q.inFlight {
		q.remove(i, context.Canceled)
	}
}

// takeOut is withdraw from outside.
func (q *queue) takeOut(item *outgoing) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.withdraw(item)
}

// maxBatch bounds what is written in one go.
const maxBatch = 128

// take gives the writer of l what to write next: messages at the front, which
// stay there until wrote is called, and a heartbeat that is due, which goes
// first. It reports false, and the writer has to end, when there is nothing or
// when l is not the connection that may write.
func (q *queue) take(l *link, batch []*outgoing) (messages []*outgoing, beat []byte, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	beat, l.beat = l.beat, nil
	if q.link != l || (len(q.items) == 0 && beat == nil) {
		l.writing = false
		return nil, nil, false
	}
	size := 0
	for _, item := range q.items[:min(len(q.items), maxBatch)] {
		if size += len(item.Data); size > maxPending && len(batch) > 0 {
			break
		}
		batch = append(batch, item)
	}
	q.inFlight = len(batch)
	return batch, beat, true
}

// wrote takes the first n of a batch out of the queue. With an error the rest
// goes back to waiting, and l writes no more.
func (q *queue) wrote(l *link, n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range q.items[:n] {
		item.gone, item.link = true, l
		q.bytes -= item.size
	}
	clear(q.items[:n])
	q.items = q.items[n:]
	if len(q.items) == 0 {
		q.items = nil
	}
	q.inFlight = 0
	if err != nil {
		l.writing = false
		q.detach(l, err)
	}
	q.change()
}

// attach lets l write.
func (q *queue) attach(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.link = l
	if len(q.items) > 0 {
		l.startWriter()
	}
	q.change()
}

// detached ends the writing of l.
func (q *queue) detached(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.detach(l, net.ErrClosed)
}

// detach is detached with mu held.
func (q *queue) detach(l *link, cause error) {
	if q.link != l && q.link != nil {
		return
	}
	q.link = nil
	for q.cfg.queueMessages == 0 && len(q.items) > q.inFlight {
		q.remove(q.inFlight, fmt.Errorf("%w: %w", ErrNotOpen, cause))
	}
	q.change()
}

// sendBeat has the writer send a heartbeat before anything else, unless the one
// before has not left yet.
func (q *queue) sendBeat(l *link, data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.link == l && l.beat == nil {
		l.beat = data
		l.startWriter()
	}
}

// flush waits until all that was accepted before has left.
func (q *queue) flush(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil
	}
	from, upTo := q.items[0].seq, q.seq
	left := func() bool { return len(q.items) == 0 || q.items[0].seq > upTo }
	if err := q.await(ctx, func() bool { return left() || q.refuse != nil && q.link == nil }); err != nil {
		return err
	}
	switch {
	case !left():
		return q.refuse
	case q.takenBack >= from:
		return ErrClosed
	}
	return nil
}

// accept lets messages in, or refuses them with err.
func (q *queue) accept(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = err
	q.change()
}

// drain waits until l has written everything, cannot write, or ctx ends.
func (q *queue) drain(ctx context.Context, l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_ = q.await(ctx, func() bool { return len(q.items) == 0 || q.link != l })
}

// takeBack empties the queue, and hands over what was in it. It is called when
// nothing may write any more; what is still being written it waits for.
func (q *queue) takeBack(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	_ = q.await(context.Background(), func() bool { return q.inFlight == 0 })
	if len(q.items) == 0 {
		return nil
	}
	q.takenBack = q.seq
	var left []Outgoing
	for len(q.items) > 0 {
		left = append(left, q.remove(0, err).Outgoing)
	}
	return &UndeliveredError{Messages: left}
}

func (q *queue) size() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.bytes
}
