package wechatws

import (
	"fmt"
	"net"
	"time"

	"github.com/wechatws/wechatws/internal/frames"
	"github.com/wechatws/wechatws/transport"
)

// A writing is what was taken out of the queue together.
type writing struct {
	batch   []*outgoing
	n       int // how many of these were written
	err     error
	settled bool // the queue knows
}

// becomeWriter is called with the queue's mutex held, when there is something to
// write. Who is told true has to call write.
func (l *link) becomeWriter() bool {
	if l.writing || !l.enter() {
		return false
	}
	l.writing = true
	return true
}

// startWriter is becomeWriter for who has other things to do.
func (l *link) startWriter() {
	if l.becomeWriter() {
		go l.write(nil)
	}
}

// write writes what the queue has, and ends when there is no more. It may be given
// something that was gathered already.
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

// leave is the end of a goroutine that writes. Unless it has returned, one of the user's
// functions has ended it: a method of the connection, which is over then, or a trace
// function, when all is written.
func (l *link) leave(w *writing, returned bool) {
	defer l.helpers.Done()
	switch {
	case returned:
	case !w.settled:
		w.err = net.ErrClosed // by connPanicked
		l.settle(w)
	case w.err == nil:
		l.client.queue.writerEnded(l)
	default:
		l.writeFailed(w.err)
	}
}

// writeNow is write for a small message that comes alone. It saves another goroutine,
// and the thread that would have to be woken for it, unless the socket keeps it waiting.
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

// canWriteNow tells whether there is a socket that can be asked.
func (l *link) canWriteNow() bool { return l.wire != nil && l.wire.raw != nil }

// gather puts together what is to be written, for as few system calls as possible.
// finish has to follow.
func (l *link) gather(w *writing, signs signs) {
	l.encodeOnWrite(w.batch)
	if l.wire != nil {
		l.wire.cork()
	}
	w.err = l.writeEach(w, signs)
	l.gathered.Store(w)
}

// encodeOnWrite does what EncodeOnWrite asks for. While they are being written, messages
// are the writer's alone.
func (l *link) encodeOnWrite(batch []*outgoing) {
	for _, m := range batch {
		if !m.late {
			continue
		}
		err := apart(func() error {
			again, err := encode(l.client.cfg.codec, m.value)
			if err == nil {
				l.client.queue.replace(l, m, again)
			}
			return err
		})
		if err != nil {
			l.client.reportLater(l.session, err)
		}
	}
}

// writeEach writes everything to the wire, which gathers it, or to the connection when
// there is none.
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

func (l *link) writeMessage(t transport.MessageType, p []byte) error {
	if l.stream != nil && !l.compressed && len(p) <= frames.MaxWrite {
		return l.stream.WriteMessage(t == transport.TextMessage, p)
	}
	return l.conn.Write(t, p)
}

// finish waits until the socket has taken what was gathered, and reports false when the
// link is over.
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

// settle waits until the socket has taken what was gathered, and reports false when Close
// has taken it back meanwhile.
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

// progress is how many messages of the batch that is being written the socket has taken. It
// does not wait for the writer.
func (l *link) progress() (n int) {
	if l.wire == nil {
		return int(l.written.Load())
	}
	w := l.gathered.Load()
	if w == nil || len(w.batch) == 0 || w.batch[0] != l.client.queue.inFlight[0] {
		return 0 // it is being gathered
	}
	upTo := l.wire.seal()
	for n < len(w.batch) && w.batch[n].end <= upTo {
		n++
	}
	return n
}

// writeBlocked tells that the socket is slow to take what is being written.
func (l *link) writeBlocked() bool { return l.wire != nil && l.wire.writeSince.Load() != 0 }
