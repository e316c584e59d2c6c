package wechatws

import (
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"time"
)

const (
	// maxBatch is how many messages are written at a time at most.
	maxBatch = 128
	// burstGap is the longest time between two messages of a burst, which are better
	// gathered.
	burstGap = 5 * time.Microsecond
)

// attach lets l write: messages after its hold, signs of life at once.
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

// release ends the hold of l. A timer calls it.
func (q *queue) release(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.held = false
	if q.link == l && q.ready(l) {
		l.startWriter()
	}
}

// ready reports whether there is a message that l may write. It is called with mu held.
func (q *queue) ready(l *link) bool { return q.waiting.n > 0 && !l.held && !q.holds(l) }

// take returns what the writer of l is to write next: messages from the front, which are in
// flight until it calls wrote, and the signs of life that are due, which go first. ok is
// false when there is nothing to write or l is not attached; then the writer must end.
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
	q.inFlight, q.writer = batch, l
	l.written.Store(0)
	return batch, signs, true
}

// replace replaces the data of a message in flight, unless Close has taken it back.
func (q *queue) replace(l *link, m *outgoing, by Outbound) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !l.abandoned {
		m.Data = by.Data
	}
}

// awaitWriter waits until the writer of l, which has ended, has told how much of the batch in
// flight was written: a write that is under way may still succeed, and what it writes must
// not be handed back. It does not wait for a function of the user, except for the connection
// that writes, until ctx ends.
func (q *queue) awaitWriter(ctx context.Context, l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_ = q.await(ctx, func() bool { return len(q.inFlight) == 0 || q.writer != l || l.outside > 0 })
}

// outside runs a function of the user that holds up the writer of l, for which awaitWriter does not wait.
func (q *queue) outside(l *link, fn func()) {
	count := func(n int) {
		q.mu.Lock()
		defer q.mu.Unlock()
		l.outside += n
		q.change()
	}
	count(1)
	defer count(-1)
	fn()
}

// wrote ends the writing of a batch, of which the first n messages are written; begun
// reports whether the next one is written in part. With an error the rest waits again, and
// l is detached. wrote returns false when takeBack has taken the batch already.
func (q *queue) wrote(l *link, n int, begun bool, err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.abandoned {
		return false
	}
	q.settle(l, n, begun)
	l.wrote = time.Now()
	if err != nil {
		l.writing = false
		q.detach(l, err)
	}
	q.change()
	return true
}

// settle is wrote for the messages of the batch. It is called with mu held.
func (q *queue) settle(l *link, n int, begun bool) {
	if n > 0 {
		q.quietSince = time.Now()
	} else if !begun && len(q.inFlight) > 0 {
		q.trial = nil // it was not written
	}
	if begun {
		l.cut = q.inFlight[n]
	}
	for _, m := range q.inFlight[:n] {
		m.gone, m.link = true, l
		if m.of != nil {
			m.written, m.of.link = time.Now(), l
		}
		q.bytes -= m.size
		q.messagesOut++
		q.bytesOut += int64(len(m.Data))
	}
	for _, m := range slices.Backward(q.inFlight[n:]) {
		q.waiting.pushFront(m)
	}
	q.inFlight = nil
}

// writerEnded is called when l has no writer any more. It starts another one if there is
// more to write.
func (q *queue) writerEnded(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.writing = false
	if q.link == l && (q.ready(l) || l.due.any()) {
		l.startWriter()
	}
}

// sendSigns makes signs of life due, which are written before all messages. A heartbeat is
// left out while another one is due. If it returns true, the caller must call l.write.
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

// detached detaches l, whose link has ended.
func (q *queue) detached(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.detach(l, net.ErrClosed)
}

// detach ends the writing of l, and removes direct messages with an error that wraps cause.
// It is called with mu held.
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
