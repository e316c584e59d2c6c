package wechatws

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
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
	late       bool          // to be encoded again for the connection that it is written to
	value      any           // from which
	expires    time.Time     // when it is worth nothing any more; zero: never
	direct     bool          // it is not to wait for a connection
	tryTimeout time.Duration // of SendConfirmed
	of         *outgoing     // the message of SendConfirmed that this is a try of

	size     int       // when it was accepted
	written  time.Time // when it was, if it is a try
	accepted time.Time // when it was, if that is traced
	end      int64     // where it ends in the stream of the wire, for who writes it
	seq      uint64    // position among all that was ever accepted
	link     *link     // that wrote it
	gone     bool      // it left the queue: written, or given up with err
	err      error
}

func newOutgoing(m Outgoing, v any, options []SendOption) *outgoing {
	o := &outgoing{Outgoing: m}
	for _, option := range options {
		option(o)
	}
	o.late = o.late && v != nil
	if o.late {
		o.value = v
	}
	return o
}

func (o *outgoing) expired(now time.Time) bool {
	return !o.expires.IsZero() && !now.Before(o.expires)
}

// A queue holds what was accepted and is not written yet, across connections.
// A message stays at the front while it is being written and leaves when the
// write has succeeded, so a failed write leaves it first in line for the next
// connection.
type queue struct {
	cfg     *config
	dropped func(m Outgoing, why error) // told of each dropped message

	mu        sync.Mutex
	items     []*outgoing
	bytes     int
	inFlight  int    // this many at the front are being written
	seq       uint64 // of the message accepted last
	takenBack uint64 // of the last message that was taken back
	refuse    error  // why nothing is accepted; nil while things are

	unconfirmed []*outgoing // of SendConfirmed, in the order of the calls
	given       []*outgoing // the same, when Close has begun

	link    *link // the connection that may write; nil while there is none
	changed chan struct{}

	most                  int // messages at a time
	messagesOut, bytesOut int64
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

// push accepts a message. A direct one has been written when push returns.
func (q *queue) push(ctx context.Context, m *outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	try := m.of != nil
	m.direct = !try && (m.direct || q.cfg.queueMessages == 0)
	bounded := !m.direct && !try // of those there is one at a time
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case try && m.of.gone: // Close has it, and Connect may have come since
		return m.of.err
	case q.refuse != nil:
		return q.refuse
	case m.direct && q.link == nil:
		return ErrNotOpen
	case bounded && len(m.Data) > q.cfg.queueBytes:
		return fmt.Errorf("%w: %w: %d bytes of at most %d, see WithQueue", ErrQueueFull, ErrTooLarge, len(m.Data), q.cfg.queueBytes)
	case bounded && q.full(len(m.Data)):
		if err := q.makeRoom(ctx, len(m.Data)); err != nil {
			return err
		}
	}
	q.seq++
	m.seq, m.size = q.seq, len(m.Data)
	if q.cfg.trace.MessageOut != nil {
		m.accepted = time.Now()
	}
	q.items = append(q.items, m)
	q.bytes += m.size
	q.most = max(q.most, len(q.items))
	if l := q.link; l != nil && l.becomeWriter() {
		if m.size <= oneWrite && l.canWriteNow() && time.Since(l.wrote) >= alone {
			batch, signs, _ := q.next(l)
			q.mu.Unlock()
			l.writeNow(batch, signs)
			q.mu.Lock()
		} else {
			go l.write(nil)
		}
	}
	if !m.direct {
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
	for now, i := time.Now(), q.inFlight; i < len(q.items); {
		if q.items[i].expired(now) {
			q.drop(i, ErrExpired)
		} else {
			i++
		}
	}
	if !q.full(size) {
		return nil
	}
	if q.cfg.whenFull == QueueDropOldest {
		for i := q.inFlight; q.full(size) && i < len(q.items); {
			if q.items[i].of != nil { // it is not lost without a word
				i++
			} else {
				q.drop(i, ErrQueueFull)
			}
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

// drop throws one message away, and tells. Who waits for a direct one is told by
// its error. It is called with mu held.
func (q *queue) drop(i int, why error) {
	if item := q.remove(i, why); !item.direct {
		q.dropped(item.Outgoing, why)
	}
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

const (
	// maxBatch bounds what is written in one go.
	maxBatch = 128
	// alone is how long nothing was written when a message is not part of a burst,
	// whose messages are better gathered.
	alone = 5 * time.Microsecond
)

// take gives the writer of l what to write next: messages at the front, which
// stay there until wrote is called, and the signs of life that are due, which go
// first. It reports false, and the writer has to end, when there is nothing or
// when l is not the connection that may write.
func (q *queue) take(l *link) (batch []*outgoing, signs signs, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next(l)
}

// next is take with mu held.
func (q *queue) next(l *link) (batch []*outgoing, signs signs, ok bool) {
	signs, l.due = l.due, signs
	if q.link != l || (len(q.items) == 0 && !signs.any()) {
		l.writing = false
		return nil, signs, false
	}
	now, size := time.Now(), 0
	batch = make([]*outgoing, 0, min(len(q.items), maxBatch))
	for len(batch) < min(len(q.items), maxBatch) {
		item := q.items[len(batch)]
		if item.expired(now) {
			q.drop(len(batch), ErrExpired)
			continue
		}
		if size += len(item.Data); size > maxPending && len(batch) > 0 {
			break
		}
		batch = append(batch, item)
	}
	q.inFlight = len(batch)
	return batch, signs, true
}

// rest ends the writing of who writes no more, and has a goroutine go on if there is
// more to write.
func (q *queue) rest(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.writing = false
	if q.link == l && (len(q.items) > 0 || l.due.any()) {
		l.startWriter()
	}
}

// wrote takes the first n of a batch out of the queue. With an error the rest
// goes back to waiting, and l writes no more.
func (q *queue) wrote(l *link, n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range q.items[:n] {
		item.gone, item.link = true, l
		if item.of != nil {
			item.written = time.Now()
		}
		q.bytes -= item.size
		q.messagesOut++
		q.bytesOut += int64(len(item.Data))
	}
	clear(q.items[:n])
	q.items = q.items[n:]
	if len(q.items) == 0 {
		q.items = nil
	}
	q.inFlight = 0
	l.wrote = time.Now()
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
	for i := q.inFlight; i < len(q.items); {
		if q.items[i].direct {
			q.remove(i, fmt.Errorf("%w: %w", ErrNotOpen, cause))
		} else {
			i++
		}
	}
	q.change()
}

// sendSigns has signs of life written before anything else, but for a heartbeat when
// the one before has not left yet. If it reports true, it is the caller who has to
// write them.
func (q *queue) sendSigns(l *link, s signs) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.link != l {
		return false
	}
	if l.due.beat == nil {
		l.due.beat = s.beat
	}
	l.due.ping = l.due.ping || s.ping
	if s.pong != nil {
		l.due.pong = s.pong
	}
	return l.becomeWriter()
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
	q.detach(l, net.ErrClosed) // nothing may follow a close frame
}

// takeBack empties the queue, and hands over what was in it. It is called when
// nothing may write any more; what is still being written it waits for.
func (q *queue) takeBack(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	_ = q.await(context.Background(), func() bool { return q.inFlight == 0 })
	if len(q.items) > 0 {
		q.takenBack = q.seq
	}
	left := q.given
	q.given = nil
	for len(q.items) > 0 {
		if item := q.remove(0, err); item.of == nil {
			left = append(left, item)
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.SortFunc(left, func(a, b *outgoing) int { return cmp.Compare(a.seq, b.seq) })
	e := &UndeliveredError{}
	for _, item := range left {
		e.Messages = append(e.Messages, item.Outgoing)
	}
	return e
}

func (q *queue) stats(s *Stats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Queued, s.QueuedBytes, s.QueuedMost = len(q.items), q.bytes, q.most
	s.MessagesOut, s.BytesOut = q.messagesOut, q.bytesOut
}
