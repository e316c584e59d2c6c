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

// QueuePolicy is what [Client.Send] and [Client.Request] do when the outbound queue is
// full. See [WithQueue].
type QueuePolicy int

const (
	// QueueFail returns [ErrQueueFull]. It is the default.
	QueueFail QueuePolicy = iota
	// QueueWait waits for room until the context of Send ends.
	QueueWait
	// QueueDropOldest makes room by dropping the oldest messages, and reports them to
	// [Client.OnError] in a [*DroppedError]. A Request whose message is dropped returns
	// [ErrQueueFull] instead.
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

// A queue holds the messages that are accepted and not written yet, across connections.
// The first ones are in flight while the writer writes them; after a failed write they are
// at the front again. A link is attached to it while it is open, and then may write.
type queue struct {
	cfg     *config
	dropped func(m Outbound, why error) // called with each dropped message, with mu held

	mu        sync.Mutex // guards the fields below, and those of each outgoing and link that say so
	waiting   line
	inFlight  []*outgoing // being written
	writer    *link       // of inFlight
	bytes     int         // of waiting and inFlight
	seq       uint64      // of the message accepted last
	takenBack uint64      // of the message accepted last when takeBack was called
	refuse    error       // nothing is accepted, with this error; nil: messages are
	finishing bool        // nothing is accepted but tries of SendConfirmed

	unconfirmed      line // messages of SendConfirmed, in the order of the calls
	unconfirmedBytes int
	atClose          []*outgoing // unconfirmed, moved here by close for takeBack

	link *link // the one that is attached; nil: none

	// Of a message that the peer may refuse, see refused.go.
	trial      *outgoing   // written to link alone
	quietSince time.Time   // when link opened, or has written a message last
	quietTimer *time.Timer // calls endQuiet; nil: nothing waits for it

	changed chan struct{} // closed at the next change; nil: nothing waits for it

	most                  int // highest value of len
	messagesOut, bytesOut int64
}

// wait returns a channel that is closed at the next change. It is called with mu held.
func (q *queue) wait() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// change wakes all goroutines in await. It is called with mu held.
func (q *queue) change() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// await blocks until done returns true, and then returns nil, or until ctx ends, the cause
// of which it returns. It is called with mu held, calls done and returns with mu held, and
// releases it while it blocks.
func (q *queue) await(ctx context.Context, done func() bool) error {
	ended := ctx.Done() // called with mu held, since it may panic
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

// len returns how many messages wait or are in flight. It is called with mu held.
func (q *queue) len() int { return len(q.inFlight) + q.waiting.n }

// oldest returns the one of these that was accepted first; nil: there is none. It is called
// with mu held.
func (q *queue) oldest() *outgoing {
	if len(q.inFlight) > 0 {
		return q.inFlight[0]
	}
	return q.waiting.first
}

// full reports whether there is no room for a message of size bytes. It is called with mu
// held.
func (q *queue) full(size int) bool {
	return q.len()+1 > q.cfg.queueMessages || q.bytes+size > q.cfg.queueBytes
}

// push accepts a message. It blocks while the queue is full, if the policy is [QueueWait].
// It also blocks until a direct message is written, unless it is a request, the caller of
// which must match incoming messages meanwhile.
func (q *queue) push(ctx context.Context, m *outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	try := m.of != nil
	m.direct = !try && (m.direct || q.cfg.queueMessages == 0)
	bounded := !m.direct && !try // SendConfirmed has a bound of its own
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case try && m.of.gone: // Close has taken it, and Connect may have been called since
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
		if m.size <= oneWrite && l.canWriteNow() && time.Since(l.wrote) >= burstGap {
			batch, signs, _ := q.next(l)
			func() { // a trace function may call runtime.Goexit
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
		q.withdrawLocked(m)
		return err
	}
	return m.err
}

// makeRoom drops expired messages and then does what the policy says. It is called with mu
// held, and releases it while it blocks.
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
			if m.of == nil { // SendConfirmed would not notice
				q.drop(m, ErrQueueFull)
			}
			m = next
		}
	}
	if q.cfg.whenFull == QueueFail {
		return fmt.Errorf("%w: %d messages, %d bytes", ErrQueueFull, q.len(), q.bytes)
	}
	// Messages in flight cannot be dropped, but will be written soon.
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

// remove removes a waiting message. If it is a request, that fails with err. It is called
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

// drop removes a waiting message and reports it as dropped, unless a call waits for it, which
// then returns the error: a direct Send, or a Request. It is called with mu held.
func (q *queue) drop(m *outgoing, why error) {
	if q.remove(m, why); !m.direct && m.request == nil {
		q.dropped(m.handedBack(), why)
	}
}

// withdrawLocked is withdraw with mu held.
func (q *queue) withdrawLocked(m *outgoing) {
	if m.waits {
		q.remove(m, context.Canceled)
	}
}

// expire drops a message that has expired, unless it is in flight or gone.
func (q *queue) expire(m *outgoing) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.waits {
		q.drop(m, ErrExpired)
	}
}

// withdraw removes a message for its caller, unless it is in flight or gone.
func (q *queue) withdraw(m *outgoing) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.withdrawLocked(m)
}

// flush blocks until all messages that were accepted before are written or dropped. It
// returns an error when ctx ends, or when they are taken back.
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

// accept accepts messages from now on, or refuses them with err unless that is nil.
func (q *queue) accept(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse, q.finishing = err, false
	q.change()
}

// refusal returns the error with which messages are refused; nil: they are accepted.
func (q *queue) refusal() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refuse
}

// finish accepts nothing new, and blocks until l has written everything and all of it is
// confirmed, l is not attached any more, or ctx ends.
func (q *queue) finish(ctx context.Context, l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finishing = true
	q.change()
	_ = q.await(ctx, func() bool { return q.len() == 0 && q.unconfirmed.n == 0 || q.link != l })
}

// drain blocks until l has written everything, is not attached any more, or ctx ends. Then
// it detaches l.
func (q *queue) drain(ctx context.Context, l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_ = q.await(ctx, func() bool { return q.len() == 0 || q.link != l })
	q.detach(l, net.ErrClosed) // nothing may follow a close frame
}

// takeBack empties the queue and returns the *[UndeliveredError] of what was in it, or nil.
// It is called when no link is attached. It does not wait for a writer, which may be in a
// user's function for ever: of the batch in flight it takes what the socket has not taken.
func (q *queue) takeBack(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.inFlight) > 0 {
		q.writer.abandoned = true
		q.settle(q.writer, q.writer.progress(), false)
	}
	q.writer = nil
	if q.waiting.n > 0 {
		q.takenBack = q.seq
	}
	left := q.atClose
	q.atClose = nil
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

// stats sets the queue's fields of s.
func (q *queue) stats(s *Stats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Queued, s.QueuedBytes, s.MaxQueued = q.len(), q.bytes, q.most
	s.MessagesOut, s.BytesOut = q.messagesOut, q.bytesOut
}
