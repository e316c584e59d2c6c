package wechatws

import (
	"fmt"
	"net"
	"time"

	"github.com/wechatws/wechatws/internal/frames"
	"github.com/wechatws/wechatws/transport"
)

// A writing is one batch while the writer writes it.
type writing struct {
	batch   []*outgoing
	n       int // how many of these are written
	err     error
	settled bool // reported to the queue
}

// becomeWriter reports whether the caller is the writer now: there was none, and the link
// has not ended. Then the caller must call write or writeNow. It is called with the
// queue's mutex held.
func (l *link) becomeWriter() bool {
	if l.writing || !l.enter() {
		return false
	}
	l.writing = true
	return true
}

// startWriter starts the writer, unless there is one, on a goroutine of its own. It is
// called with the queue's mutex held.
func (l *link) startWriter() {
	if l.becomeWriter() {
		go l.write(nil)
	}
}

// write is the writer: it writes what is in the queue, and returns when there is no more.
// It begins with w, which is gathered already, unless w is nil.
func (l *link) write(w *writing) {
	returned := false
	defer func() { l.leave(w, returned) }()
	for w == nil || l.finish(w) {
		batch, signs, ok := l.client.queue.take(l)
		if !ok {
			break
		}
		w = &writing{batch: batch}
		l.gather(w, signs)
	}
	returned = true
}

// leave is called when a goroutine that writes ends. If it has not returned, a user's
// function has called runtime.Goexit: a method of the connection, which has ended then, or
// a trace function, after the write.
func (l *link) leave(w *writing, returned bool) {
	defer l.helpers.Done()
	switch {
	case returned:
	case !w.settled:
		w.err = net.ErrClosed // connPanicked has ended the link
		l.settle(w)
	case w.err == nil:
		l.client.queue.writerEnded(l)
	default:
		l.writeFailed(w.err)
	}
}

// writeNow is write for a small message that is not part of a burst. It writes on the
// caller's goroutine, which saves waking a thread for another one, if the socket takes the
// message at once; otherwise it starts the writer. It does not wait for the socket.
func (l *link) writeNow(batch []*outgoing, signs signs) {
	w := &writing{batch: batch}
	l.gather(w, signs)
	if !l.wire.tryUncork() {
		go l.write(w)
		return
	}
	returned := false
	defer func() { l.leave(w, returned) }()
	if l.finish(w) {
		l.client.queue.writerEnded(l)
	}
	returned = true
}

// canWriteNow reports whether there is a socket that can be written to without blocking.
func (l *link) canWriteNow() bool { return l.wire != nil && l.wire.raw != nil }

// gather collects the bytes of a batch, to be written with as few system calls as possible.
// The caller must call finish.
func (l *link) gather(w *writing, signs signs) {
	l.encodeOnWrite(w.batch)
	if l.wire != nil {
		l.wire.cork()
	}
	w.err = l.writeEach(w, signs)
	l.gathered.Store(w)
}

// encodeOnWrite encodes the messages that [EncodeOnWrite] was given for. Messages in flight
// are used by the writer alone.
func (l *link) encodeOnWrite(batch []*outgoing) {
	for _, m := range batch {
		if !m.late {
			continue
		}
		var err error
		l.client.queue.outside(l, func() {
			err = apart(func() error {
				again, err := encode(l.client.cfg.codec, m.value)
				if err == nil {
					l.client.queue.replace(l, m, again)
				}
				return err
			})
		})
		if err != nil {
			l.client.reportLater(l.session, err)
		}
	}
}

// writeEach writes the batch to the wire, which gathers it; without a wire, to the
// connection. The signs of life come first.
func (l *link) writeEach(w *writing, signs signs) (err error) {
	if signs.beat != nil {
		err = l.writeMessage(signs.beat.messageType(), signs.beat.Data)
	}
	if signs.ping && err == nil {
		err = l.stream.WritePing(l.heartbeat.pinged())
	}
	if signs.pong != nil && err == nil {
		err = l.stream.WritePong(signs.pong)
	}
	for ; w.n < len(w.batch) && err == nil; w.n++ {
		m := w.batch[w.n]
		if l.wire != nil {
			m.start = l.wire.mark()
		}
		if err = l.writeMessage(m.messageType(), m.Data); err != nil {
			break
		}
		if l.wire != nil {
			m.end = l.wire.mark()
		} else {
			l.written.Store(int64(w.n + 1))
		}
	}
	return err
}

// writeMessage writes one message, past the WebSocket library if it is small and not
// compressed.
func (l *link) writeMessage(t transport.MessageType, p []byte) error {
	if l.stream != nil && !l.compressed && len(p) <= frames.MaxWrite {
		return l.stream.WriteMessage(t == transport.TextMessage, p)
	}
	return l.conn.Write(t, p)
}

// finish waits until the socket has taken what was gathered, and reports whether the writer
// goes on.
func (l *link) finish(w *writing) bool {
	if !l.settle(w) {
		return false
	}
	l.gathered.Store(nil)
	if hooks := l.client.cfg.trace.messageSent; len(hooks) > 0 {
		for _, m := range w.batch[:w.n] {
			traceInPlace(m.traced.ctx, l.client, hooks, MessageInfo{
				Connection: l.number, Binary: m.Binary, Size: len(m.Data), Waited: time.Since(m.traced.accepted),
			})
		}
	}
	if w.err != nil {
		l.writeFailed(w.err)
	}
	return w.err == nil
}

// settle waits until the socket has taken what was gathered, and reports the result to the
// queue. It returns false when Close has taken the batch back meanwhile.
func (l *link) settle(w *writing) bool {
	begun := w.err != nil && w.n < len(w.batch)
	if l.wire != nil {
		taken, err := l.wire.uncork()
		if w.err == nil {
			w.err = err
		}
		for w.n > 0 && w.batch[w.n-1].end > taken {
			w.n--
		}
		begun = w.n < len(w.batch) && w.batch[w.n].start < taken
	}
	w.settled = true
	return l.client.queue.wrote(l, w.n, begun, w.err)
}

// writeFailed ends the link after a write has failed.
func (l *link) writeFailed(err error) {
	select {
	case <-l.dead:
	case <-time.After(readGrace):
	}
	l.fail(&CloseError{Code: StatusAbnormalClosure, Err: fmt.Errorf("write: %w", err)})
}

// progress returns how many messages of the batch in flight the socket has taken, and
// prevents that it takes more. It does not wait for the writer. It is called with the
// queue's mutex held.
func (l *link) progress() (n int) {
	if l.wire == nil {
		return int(l.written.Load())
	}
	w := l.gathered.Load()
	if w == nil || len(w.batch) == 0 || w.batch[0] != l.client.queue.inFlight[0] {
		return 0 // the batch is being gathered
	}
	upTo := l.wire.seal()
	for n < len(w.batch) && w.batch[n].end <= upTo {
		n++
	}
	return n
}

// writeBlocked reports whether a write to the socket is under way.
func (l *link) writeBlocked() bool { return l.wire != nil && l.wire.writeSince.Load() != 0 }
