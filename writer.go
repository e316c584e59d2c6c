package wechatws

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/internal/ws"
)

// A writer takes messages from the outbox and writes them to its link, with the signs of
// life first. It is a goroutine that exists only while there is something to write, or, for a
// lone message, the goroutine that sends it (see writeNow). That the outbox is empty and that
// the writer ends is one step: a message that is accepted in between would stay.
type writer struct {
	// writing is set while there is a goroutine that writes, which also writes what is
	// accepted meanwhile. It is changed with mu held, and cleared before each call of Next, so
	// that a message that this call does not return is written by its sender.
	writing atomic.Bool

	mu sync.Mutex // guards the fields below

	open     bool // the link is attached: messages of the outbox may be written
	over     bool // it was, or has ended: nothing is written any more but a close frame
	closing  bool // a close frame was written or is due, or a write has failed
	held     bool // see Setup.HoldQueue
	due      signs
	holding  *time.Timer   // ends held; nil: it never was
	inFlight bool          // batch is being written, and neither settled nor abandoned
	flight   uint64        // its number in the outbox
	outside  int           // functions of the user that hold the writing up
	changed  chan struct{} // closed when writing, inFlight or outside changes; nil: nothing waits for that
	last     time.Time     // when a batch was written

	suspicion
	replies

	// Set with mu held, and used by the goroutine that writes.
	batch []*queued
	one   [1]*queued // the memory for a lone message

	// Used by the goroutine that writes only.
	n    int // how many messages of batch are written
	err  error
	done bool // the batch is settled
}

const (
	// maxBatch is how many messages are written at a time at most.
	maxBatch = 128
	// burstGap is the longest time between two messages of a burst, which are better
	// gathered.
	burstGap = 5 * time.Microsecond
	// maxLone is the size in bytes of the largest message that its sender's goroutine writes.
	maxLone = 4 << 10
)

// writeBuffers has slices for batches, since most connections are idle.
var writeBuffers = sync.Pool{New: func() any { return new([maxBatch]*queued) }}

// attach lets l write: messages after its hold, signs of life at once. It is called with the
// client's mutex held.
func (l *link) attach() {
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open, w.quietFirst, w.lastMessage = true, l.client.quietFirst, time.Now()
	if l.setup != nil && l.setup.hold > 0 {
		w.held = true
		w.holding = time.AfterFunc(l.setup.hold, l.release)
	}
	l.client.outbox.Open()
	l.client.attached.Store(l)
	l.startWriter()
}

// release ends the hold. A timer calls it.
func (l *link) release() {
	l.writer.mu.Lock()
	defer l.writer.mu.Unlock()
	l.writer.held = false
	l.startWriter()
}

// detach ends the writing, unless it has ended, and ends direct messages with an error that
// wraps cause.
func (l *link) detach(cause error) {
	err := notOpen(cause)
	l.writer.mu.Lock()
	defer l.writer.mu.Unlock()
	l.detachLocked(err)
}

// notOpen is called without a mutex, since cause may be an error of the user.
func notOpen(cause error) error { return fmt.Errorf("%w: %w", ErrNotOpen, cause) }

// detachLocked is detach with the writer's mutex held, and with the error of direct messages.
func (l *link) detachLocked(err error) {
	w := &l.writer
	w.over = true
	if !w.open {
		return
	}
	w.open = false
	l.client.attached.CompareAndSwap(l, nil)
	if w.holding != nil {
		w.holding.Stop()
	}
	l.endSuspicion()
	l.client.outbox.Lost(err)
	w.notify()
}

// becomeWriter reports whether the caller is the writer now: there was none, and the link has
// not ended. Then the caller must call write or writeNow. It is called with the writer's
// mutex held.
func (l *link) becomeWriter() bool {
	w := &l.writer
	if w.writing.Load() || !l.enter() {
		return false
	}
	w.writing.Store(true)
	return true
}

// startWriter starts the writer on a goroutine of its own, if there is something to write. It
// is called with the writer's mutex held.
func (l *link) startWriter() {
	w := &l.writer
	if (w.due.any() || w.open && (l.client.keeps.n.Load() > 0 || !w.held && l.client.outbox.Stats().Messages > 0)) && l.becomeWriter() {
		go l.write(false)
	}
}

// messageAccepted is called after the outbox has accepted a message. If it is small and not part
// of a burst, it is written at once, unless others are before it, behind a suspect that has left.
func (l *link) messageAccepted(small bool) {
	w := &l.writer
	if w.writing.Load() {
		return
	}
	w.mu.Lock()
	if !w.open || w.held || !l.becomeWriter() {
		w.mu.Unlock()
		return
	}
	if !small || w.due.beat || !l.canWriteNow() || time.Since(w.last) < burstGap || l.client.outbox.Stats().Messages > 1 {
		w.mu.Unlock()
		go l.write(false)
		return
	}
	signs, ok := l.takeBatch(w.one[:0])
	w.mu.Unlock()
	if ok {
		l.writeNow(signs)
	} else {
		l.helpers.Done()
	}
}

// takeBatch puts the next messages in flight, and returns the signs of life that are due. ok is
// false when there is nothing to write; then there is no writer any more. It is called with
// the writer's mutex held.
func (l *link) takeBatch(buffer []*queued) (s signs, ok bool) {
	w := &l.writer
	w.batch = nil
	w.writing.Store(false)
	s = w.takeReplies(w.due)
	if w.open && !w.held && len(w.due.replies) == 0 {
		most := cap(buffer)
		if !l.canWriteNow() {
			most = 1 // a user's connection gathers nothing, and those behind it would be in flight in vain
		}
		w.batch, w.flight = l.client.outbox.Next(buffer, most, ws.BufferSize, l.mayWrite)
	}
	for _, m := range w.batch {
		m.Value.end.Store(math.MaxInt64)
	}
	if s.beat && !l.mayBeat() {
		s.beat, w.due.beat = false, true
	}
	s.kept = l.takeKept()
	w.wrote = w.wrote || len(w.batch) > 0
	ok = len(w.batch) > 0 || s.any()
	w.writing.Store(ok)
	w.inFlight = ok
	w.n, w.err, w.done = 0, nil, false
	if !ok {
		w.notify()
	}
	return s, ok
}

// write is the writer: it writes what is in the outbox, and returns when there is no more. It
// begins with the batch that is gathered already, if gathered is true.
func (l *link) write(gathered bool) {
	returned := false
	defer func() { l.leave(returned) }()
	buffer := writeBuffers.Get().(*[maxBatch]*queued)
	for {
		if !gathered {
			l.writer.mu.Lock()
			signs, ok := l.takeBatch(buffer[:0])
			l.writer.mu.Unlock()
			if !ok {
				writeBuffers.Put(buffer)
				break
			}
			l.gather(signs)
		}
		gathered = false
		if !l.finish() {
			break
		}
	}
	returned = true
}

// leave is called when a goroutine that writes ends. If it has not returned, a user's
// function has called runtime.Goexit: a method of the connection, which has ended then, or
// a trace function, after the write.
func (l *link) leave(returned bool) {
	defer l.helpers.Done()
	w := &l.writer
	switch {
	case returned:
	case !w.done:
		w.err = net.ErrClosed // connPanicked has ended the link
		if l.settle() {
			l.writeFailed(w.err)
		}
	case w.err == nil:
		l.writerEnded()
	default:
		l.writeFailed(w.err)
	}
}

// writeNow is write for a small message that is not part of a burst. It writes on the
// caller's goroutine, which saves waking a thread for another one, if the socket takes the
// message at once; otherwise it starts the writer. It does not wait for the socket.
func (l *link) writeNow(signs signs) {
	l.gather(signs)
	if done, _ := l.conn.TryFlush(); !done {
		go l.write(true)
		return
	}
	returned := false
	defer func() { l.leave(returned) }()
	if l.finish() {
		l.writerEnded()
	}
	returned = true
}

// writerEnded is called when there is no writer any more. It starts another one if there is
// more to write.
func (l *link) writerEnded() {
	l.writer.mu.Lock()
	defer l.writer.mu.Unlock()
	l.writer.writing.Store(false)
	l.startWriter()
	l.writer.notify()
}

// gather collects the bytes of a batch, to be written with as few system calls as possible.
// The caller must call finish.
func (l *link) gather(signs signs) {
	w := &l.writer
	l.encodeOnWrite(w.batch)
	w.err = l.appendEach(signs)
}

// appendEach gives the signs of life and then the batch to the connection.
func (l *link) appendEach(signs signs) (err error) {
	w := &l.writer
	if signs.beat {
		err = l.writeBeat()
	}
	if signs.ping && err == nil {
		err = l.conn.AppendPing(l.heartbeat.pinged())
	}
	for i := 0; i < len(signs.pongs) && err == nil; i++ {
		err = l.conn.AppendPong(signs.pongs[i])
	}
	for i := 0; i < len(signs.replies) && err == nil; i++ {
		err = l.writeMessage(signs.replies[i])
	}
	for i := 0; i < len(signs.kept) && err == nil; i++ {
		err = l.writeMessage(signs.kept[i])
	}
	if signs.close != nil && err == nil {
		err = l.conn.AppendClose(signs.close.code, signs.close.reason)
	}
	for ; w.n < len(w.batch) && err == nil; w.n++ {
		m := &w.batch[w.n].Value
		m.start = l.conn.Appended()
		if err = l.writeMessage(&m.Outbound); err != nil {
			break
		}
		m.end.Store(l.conn.Appended())
	}
	return err
}

func (l *link) writeMessage(m *Outbound) error { return l.conn.AppendMessage(!m.Binary, m.Data) }

// finish waits until the socket has taken what was gathered, and reports whether the writer
// goes on.
func (l *link) finish() bool {
	w := &l.writer
	if !l.settle() {
		return false
	}
	if hooks := l.client.cfg.trace.messageSent; len(hooks) > 0 {
		for _, m := range w.batch[:w.n] {
			m := &m.Value
			traceInPlace(m.traced.ctx, l.client, hooks, MessageInfo{
				Connection: l.number, Binary: m.Binary, Size: len(m.Data), Waited: time.Since(m.traced.accepted),
			})
		}
	}
	clear(w.batch)
	if err := w.err; err != nil {
		l.writeFailed(err)
		return false
	}
	return true
}

// settle waits until the socket has taken what was gathered, and reports the result to the
// outbox. It returns false when Close has abandoned the batch meanwhile.
func (l *link) settle() bool {
	w := &l.writer
	if err := l.conn.Flush(); w.err == nil {
		w.err = err
	}
	taken := l.conn.Written()
	for w.n > 0 && w.batch[w.n-1].Value.end.Load() > taken {
		w.n--
	}
	begun := w.n < len(w.batch) && w.batch[w.n].Value.start < taken
	w.done = true
	var lost error
	if w.err != nil {
		lost = notOpen(w.err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.inFlight {
		return false
	}
	l.settleLocked(w.n, begun)
	w.last = time.Now()
	if lost != nil {
		w.closing = true // nothing more can be written
		w.writing.Store(false)
		w.notify()
		l.detachLocked(lost)
	}
	return true
}

// settleLocked ends the flight of the batch, of which the first n messages are written; begun
// reports whether the next one is written in part. It is called with the writer's mutex held.
func (l *link) settleLocked(n int, begun bool) {
	w, c := &l.writer, l.client
	w.inFlight = false
	w.settleReplies()
	switch {
	case n > 0:
		w.lastMessage = time.Now()
	case !begun && len(w.batch) > 0 && w.batch[0] == w.trial:
		w.suspect, w.trial = w.trial, nil // it was not written
	}
	if begun {
		w.cut = w.batch[n]
	}
	size := 0
	for _, m := range w.batch[:n] {
		size += len(m.Value.Data)
		if r := m.Value.request; r != nil {
			r.writtenTo(l)
		}
	}
	c.messagesOut.Add(int64(n))
	c.bytesOut.Add(int64(size))
	if len(w.batch) > 0 {
		c.outbox.Settle(w.flight, n)
	}
	w.notify()
}

// abandon ends the flight of a batch whose writer may be in a user's function for ever: what
// the socket has not taken waits again. It is called when the link has ended.
func (l *link) abandon() {
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inFlight {
		l.settleLocked(l.progress(), false)
	}
}

// progress returns how many messages of the batch in flight the socket has taken, and
// prevents that it takes more. It is called with the writer's mutex held.
func (l *link) progress() (n int) {
	w := &l.writer
	upTo := l.conn.Seal()
	for n < len(w.batch) && w.batch[n].Value.end.Load() <= upTo {
		n++
	}
	return n
}

// awaitWriter waits until the writer of a link that has ended has settled its batch: a write
// that is under way may still succeed, and what it writes must not be handed back. It does
// not wait for a function of the user, except for the connection that writes, until ctx ends.
func (l *link) awaitWriter(ctx context.Context) {
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.await(ctx, func() bool { return !w.inFlight || w.outside > 0 })
}

// await blocks until done returns true, or until ctx ends, the cause of which it returns. It is
// called with mu held, calls done and returns with mu held, and releases it while it blocks.
func (w *writer) await(ctx context.Context, done func() bool) error {
	for !done() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		w.mu.Lock()
	}
	return nil
}

// notify wakes await. It is called with mu held.
func (w *writer) notify() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}
