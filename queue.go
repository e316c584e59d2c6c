package wechatws

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"time"
)

// QueuePolicy is what [Client.Send] and [Client.Request] do when the outbound queue is
// full. See [WithQueue].
type QueuePolicy int

const (
	// QueueFail returns [ErrQueueFull]. It is the default.
	QueueFail QueuePolicy = iota
	// QueueWait waits for room until the context of Send ends.
	QueueWait
	// QueueDropOldest makes room by dropping the oldest messages, and reports them to
	// [Client.OnError] in a [*DroppedError].
	QueueDropOldest
)

var policyNames = []string{"fail", "wait", "drop_oldest"}

// String returns "fail", "wait" or "drop_oldest".
func (p QueuePolicy) String() string { return nameOf(p, "QueuePolicy", policyNames) }

// MarshalText implements [encoding.TextMarshaler], with what String returns.
func (p QueuePolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes what MarshalText returns.
func (p *QueuePolicy) UnmarshalText(text []byte) error {
	return setNamed(p, text, "queue policy", policyNames)
}

// A queue holds what was accepted and is not written yet, across connections.
// A message is out of the line while it is being written; after a failed write it is
// first in line for the next connection.
type queue struct {
	cfg     *config
	dropped func(m Outbound, why error) // told of each dropped message

	mu        sync.Mutex
	waiting   line
	flying    []*outgoing // being written
	flyer     *link       // that writes these
	bytes     int         // of both
	seq       uint64      // of the message accepted last
	takenBack uint64      // of the last message that was taken back
	refuse    error       // why nothing is accepted; nil while things are
	finishing bool        // nothing new is accepted

	unconfirmed      line // of SendConfirmed, in the order of the calls
	unconfirmedBytes int
	given            []*outgoing // the same, when Close has begun

	link *link // the connection that may write; nil while there is none

	// See refused.go.
	trial      *outgoing   // written to link alone
	quietSince time.Time   // when link opened, or has written a message last
	goOn       *time.Timer // ends the quiet time; nil while nothing waits for that

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
	ended := ctx.Done() // with mu held: it may panic
	for !done() {
		changed := q.wait()
		q.mu.Unlock()
		select {
		case <-changed:
			q.mu.Lock()
		case <-ended:
			q.mu.Lock()
			return context.Cause(ctx)
		}
	}
	return nil
}

// len is how many messages wait or are being written. It is called with mu held.
func (q *queue) len() int { return len(q.flying) + q.waiting.n }

// oldest is the one of these that was accepted first; nil: there is none. It is called
// with mu held.
func (q *queue) oldest() *outgoing {
	if len(q.flying) > 0 {
		return q.flying[0]
	}
	return q.waiting.first
}

func (q *queue) full(size int) bool {
	return q.len()+1 > q.cfg.queueMessages || q.bytes+size > q.cfg.queueBytes
}

// push accepts a message. A direct one has been written when push returns, unless it is
// a request: the caller has to look at what arrives meanwhile.
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
	case q.finishing && !try:
		return ErrClosed
	case m.direct && q.link == nil:
		return ErrNotOpen
	case bounded && len(m.Data) > q.cfg.queueBytes:
		return fmt.Errorf("%w: %w: %d bytes of at most %d, see WithQueue", ErrQueueFull, ErrMessageTooBig, len(m.Data), q.cfg.queueBytes)
	case bounded && q.full(len(m.Data)):
		if err := q.makeRoom(ctx, len(m.Data)); err != nil {
			return err
		}
	}
	q.seq++
	m.seq, m.size = q.seq, len(m.Data)
	if len(q.cfg.trace.messageSent) > 0 {
		m.traced = &traced{context.WithoutCancel(ctx), time.Now()}
	}
	q.waiting.pushBack(m)
	if m.request != nil {
		m.request.accepted.Store(true)
	}
	q.bytes += m.size
	q.most = max(q.most, q.len())
	if l := q.link; l != nil && q.ready(l) && l.becomeWriter() {
		if m.size <= oneWrite && l.canWriteNow() && time.Since(l.wrote) >= alone {
			batch, signs, _ := q.next(l)
			func() { // a trace function may end the goroutine
				q.mu.Unlock()
				defer q.mu.Lock()
				l.writeNow(batch, signs)
			}()
		} else {
			go l.write(nil)
		}
	}
	if !m.direct || m.request != nil {
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
	for now := time.Now(); ; {
		m := q.waiting.expired(now)
		if m == nil {
			break
		}
		q.drop(m, ErrExpired)
	}
	if !q.full(size) {
		return nil
	}
	if q.cfg.whenFull == QueueDropOldest {
		for m := q.waiting.first; m != nil && q.full(size); {
			next := m.next
			if m.of == nil { // a try is not lost without a word
				q.drop(m, ErrQueueFull)
			}
			m = next
		}
	}
	if q.cfg.whenFull == QueueFail {
		return fmt.Errorf("%w: %d messages, %d bytes", ErrQueueFull, q.len(), q.bytes)
	}
	// What is being written cannot be dropped any more, but will be gone soon.
	err := q.await(ctx, func() bool { return q.refuse != nil || q.finishing || !q.full(size) })
	switch {
	case q.refuse != nil:
		return q.refuse
	case q.finishing:
		return ErrClosed
	case err != nil:
		return fmt.Errorf("%w: %w", ErrQueueFull, err)
	}
	return nil
}

// remove takes a message that waits out, and fails the request that it is. It is called
// with mu held.
func (q *queue) remove(m *outgoing, err error) {
	q.waiting.remove(m)
	m.gone, m.err = true, err
	q.bytes -= m.size
	if m.request != nil {
		m.request.fail(err)
	}
	q.change()
}

// drop throws a message that waits away, and reports that. The caller of Send receives a
// direct one's error instead. It is called with mu held.
func (q *queue) drop(m *outgoing, why error) {
	if q.remove(m, why); !m.direct {
		q.dropped(m.handedBack(), why)
	}
}

// withdraw takes a message back unless it is being written or gone. It is called
// with mu held.
func (q *queue) withdraw(m *outgoing) {
	if m.waits {
		q.remove(m, context.Canceled)
	}
}

// expire drops a message that has expired, unless it is being written or gone.
func (q *queue) expire(m *outgoing) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.waits {
		q.drop(m, ErrExpired)
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

// take gives the writer of l what to write next: messages from the front, which
// are the writer's until it calls wrote, and the signs of life that are due, which go
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
	ready := q.link == l && q.ready(l)
	if q.link != l || !ready && !signs.any() {
		l.writing = false
		return nil, signs, false
	}
	if !ready {
		return nil, signs, true
	}
	now, size := time.Now(), 0
	batch = make([]*outgoing, 0, min(q.waiting.n, maxBatch))
	for m := q.waiting.first; m != nil && len(batch) < maxBatch; {
		next := m.next
		if m.expired(now) {
			q.drop(m, ErrExpired)
		} else {
			suspect := m.origin().suspect
			if size += len(m.Data); len(batch) > 0 && (suspect || size > maxPending) {
				break
			}
			q.waiting.remove(m)
			m.start, m.end = math.MaxInt64, math.MaxInt64
			batch = append(batch, m)
			if suspect {
				q.trial = m.origin()
				break
			}
		}
		m = next
	}
	q.flying, q.flyer = batch, l
	l.written.Store(0)
	return batch, signs, true
}

// replace puts the message that l is about to write in another form.
func (q *queue) replace(l *link, m *outgoing, by Outbound) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !l.abandoned {
		m.Data = by.Data
	}
}

// rest ends the writing of who writes no more, and has a goroutine go on if there is
// more to write.
func (q *queue) rest(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.writing = false
	if q.link == l && (q.ready(l) || l.due.any()) {
		l.startWriter()
	}
}

// wrote ends the writing of a batch, of which the first n are written. With an error the
// rest goes back to waiting, and l writes no more; begun tells that part of the first of
// these was written. It reports false when takeBack had the batch already.
func (q *queue) wrote(l *link, n int, begun bool, err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.abandoned {
		return false
	}
	q.landed(l, n, begun)
	l.wrote = time.Now()
	if err != nil {
		l.writing = false
		q.detach(l, err)
	}
	q.change()
	return true
}

// landed is wrote for the batch alone. It is called with mu held.
func (q *queue) landed(l *link, n int, begun bool) {
	if n > 0 {
		q.quietSince = time.Now()
	} else if !begun && len(q.flying) > 0 {
		q.trial = nil // it has not taken place
	}
	if begun {
		l.cut = q.flying[n]
	}
	for _, m := range q.flying[:n] {
		m.gone, m.link = true, l
		if m.of != nil {
			m.written, m.of.link = time.Now(), l
		}
		q.bytes -= m.size
		q.messagesOut++
		q.bytesOut += int64(len(m.Data))
	}
	for _, m := range slices.Backward(q.flying[n:]) {
		q.waiting.pushFront(m)
	}
	q.flying = nil
}

// ready reports whether there is a message that l may write. It is called with mu held.
func (q *queue) ready(l *link) bool { return q.waiting.n > 0 && !l.held && !q.holds(l) }

// attach lets l write, messages no sooner than its hold says.
func (q *queue) attach(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.link, q.trial, q.quietSince = l, nil, time.Now()
	if l.hold > 0 {
		l.held = true
		l.holding = time.AfterFunc(l.hold, func() { q.release(l) })
	}
	if q.ready(l) {
		l.startWriter()
	}
	q.change()
}

// release ends the hold of l.
func (q *queue) release(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.held = false
	if q.link == l && q.ready(l) {
		l.startWriter()
	}
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
	if q.link != nil && q.link.holding != nil {
		q.link.holding.Stop()
	}
	if m := q.waiting.first; q.link == l && q.trial == nil && m != nil {
		m.origin().suspect = false // see refused.go
	}
	q.link = nil
	q.stopQuiet()
	for m := q.waiting.first; m != nil; {
		next := m.next
		if m.direct {
			q.remove(m, fmt.Errorf("%w: %w", ErrNotOpen, cause))
		}
		m = next
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
	oldest := q.oldest()
	if oldest == nil {
		return nil
	}
	from, upTo := oldest.seq, q.seq
	left := func() bool { oldest := q.oldest(); return oldest == nil || oldest.seq > upTo }
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
	q.refuse, q.finishing = err, false
	q.change()
}

// refusal is why nothing is accepted.
func (q *queue) refusal() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refuse
}

// finish lets nothing new in, and waits until l has written everything and all of it is
// confirmed, l cannot write, or ctx ends.
func (q *queue) finish(ctx context.Context, l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finishing = true
	q.change()
	_ = q.await(ctx, func() bool { return q.len() == 0 && q.unconfirmed.n == 0 || q.link != l })
}

// drain waits until l has written everything, cannot write, or ctx ends.
func (q *queue) drain(ctx context.Context, l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_ = q.await(ctx, func() bool { return q.len() == 0 || q.link != l })
	q.detach(l, net.ErrClosed) // nothing may follow a close frame
}

// takeBack empties the queue, and hands over what was in it. It is called when nothing may
// write any more. What is being written it takes from the writer, who may never come back
// from a function of the user's, except for what the socket has taken.
func (q *queue) takeBack(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.flying) > 0 {
		q.flyer.abandoned = true
		q.landed(q.flyer, q.flyer.progress(), false)
	}
	q.flyer = nil
	if q.waiting.n > 0 {
		q.takenBack = q.seq
	}
	left := q.given
	q.given = nil
	for m := q.waiting.first; m != nil; m = q.waiting.first {
		if q.remove(m, err); m.of == nil {
			left = append(left, m)
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.SortFunc(left, func(a, b *outgoing) int { return cmp.Compare(a.seq, b.seq) })
	e := &UndeliveredError{Messages: make([]Outbound, 0, len(left))}
	for _, item := range left {
		e.Messages = append(e.Messages, item.handedBack())
	}
	return e
}

func (q *queue) stats(s *Stats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Queued, s.QueuedBytes, s.MaxQueued = q.len(), q.bytes, q.most
	s.MessagesOut, s.BytesOut = q.messagesOut, q.bytesOut
}
