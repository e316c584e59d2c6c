package wechatws

import (
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/wechatws/wechatws/internal/frames"
	"github.com/wechatws/wechatws/transport"
)

// read reads until the connection ends, the error of which it returns, or until the reading
// is handed off (errHandedOff). If a method of a user's connection calls runtime.Goexit,
// the connection ends, and another goroutine becomes the session's.
func (l *link) read() error {
	if l.deserted {
		return net.ErrClosed
	}
	returned, number := false, l.session.handoffs.Load()
	defer func() {
		if !returned && l.session.handoffs.Load() == number {
			l.deserted = true
			l.session.replaceReader(l)
		}
	}()
	err := l.readAll()
	returned = true
	return err
}

// readAll is read for a connection that does not call runtime.Goexit.
func (l *link) readAll() error {
	for len(l.early) > 0 {
		in := l.early[0]
		l.early = l.early[1:]
		l.dispatch(single(in))
	}
	var taken *batch
	if l.stream != nil {
		l.stream.Take(frames.Receiver{
			Limit: l.client.cfg.readLimit, Message: l.take,
			Ping: l.answer, Pong: l.heartbeat.ponged,
			Idle:  func() { l.dispatch(l.batch()) },
			Taken: func() { taken = l.batch() },
		})
	}
	for {
		for l.stream != nil && !l.stream.Await() {
			if err := l.deliver(taken); err != nil {
				return err
			}
		}
		in, err := l.next()
		if err != nil {
			return err
		}
		if err := l.deliver(single(in)); err != nil {
			return err
		}
	}
}

// maxTaken is how many messages a batch from the stream holds at most.
const maxTaken = 256

// takenPool has the slices that messages are collected in, since most connections are idle.
var takenPool = sync.Pool{New: func() any { s := make([]packed, 0, maxTaken); return &s }}

// take is called by the stream with one message; payload is valid until the reader's next
// call. It reports whether there is room for more in this batch.
func (l *link) take(text bool, payload []byte) (more bool) {
	if l.taken == nil {
		l.taken = takenPool.Get().(*[]packed)
	}
	typ := transport.BinaryMessage
	if text {
		typ = transport.TextMessage
	}
	*l.taken = append(*l.taken, packed{typ, payload})
	return len(*l.taken) < maxTaken
}

// batch returns the messages that were taken since the last call; nil: none.
func (l *link) batch() *batch {
	if l.taken == nil {
		return nil
	}
	b := newBatch(l, *l.taken)
	clear(*l.taken)
	*l.taken = (*l.taken)[:0]
	takenPool.Put(l.taken)
	l.taken = nil
	return b
}

// answer answers a ping. The writer writes the pong, between two messages.
func (l *link) answer(ping []byte) {
	if l.client.queue.sendSigns(l, signs{pong: append([]byte{}, ping...)}) {
		go l.write(nil)
	}
}

// next reads one message by way of the WebSocket library. It blocks until it is complete.
func (l *link) next() (inbound, error) {
	typ, r, err := l.conn.Reader()
	if err != nil {
		return inbound{}, err
	}
	l.inMessage.Store(true)
	defer l.inMessage.Store(false)
	limit := l.client.cfg.readLimit
	if limit < math.MaxInt64 { // one byte more reveals a larger message
		r = io.LimitReader(r, limit+1)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return inbound{}, err
	}
	if int64(len(data)) > limit {
		return inbound{}, &ReadLimitError{Limit: limit}
	}
	l.hear()
	return inbound{link: l, typ: typ, data: data, at: time.Now()}, nil
}

// deliver passes messages to requests and callbacks. On a busy connection it runs the
// callbacks itself, and returns errHandedOff when another goroutine reads by then.
func (l *link) deliver(b *batch) error {
	busy := b.at.Sub(l.lastRead) < busyFor
	l.lastRead = b.at
	if !l.receive(b) {
		return nil
	}
	if busy {
		return l.runCallbacks()
	}
	l.client.dispatcher.start()
	return nil
}

// dispatch is deliver without running callbacks on the reader goroutine. b may be nil.
func (l *link) dispatch(b *batch) {
	if b != nil && l.receive(b) {
		l.client.dispatcher.start()
	}
}

// receive offers messages to requests and puts them into the inbox. It blocks while the
// inbox is full. If it returns true, the caller must run the dispatcher.
func (l *link) receive(b *batch) (idle bool) {
	l.client.requests.offer(b, l.stall, l.resume)
	n, size := len(b.messages), b.size()
	l.client.messagesIn.Add(int64(n))
	l.client.bytesIn.Add(int64(size))
	if l.session.hasRetired() { // only answers to requests matter now
		b.release()
		return false
	}
	defer l.resume()
	return l.client.dispatcher.receive(b, n, size, func() {
		l.client.requests.inboxFull()
		l.stall()
	}, l.over)
}

// stall is called before the reader waits for a callback or a request. Until resume, the
// silence of the peer does not count.
func (l *link) stall() {
	l.stalls.Add(1)
	l.stalled.Store(true)
}

// resume is called when the reader reads again. Without a stall it does nothing.
func (l *link) resume() {
	if l.stalled.Load() {
		l.stalled.Store(false)
		l.heartbeat.resume()
	}
}

// over reports whether the link has ended or nothing is dialed any more: then no message
// waits for room in the inbox.
func (l *link) over() bool { return isClosed(l.dead) || l.session.hasRetired() }

// partial returns when bytes of an incomplete message last arrived; zero without such a
// message or without a wire. Control frames between its fragments count as its bytes.
func (l *link) partial() time.Time {
	if l.wire == nil || !l.inMessage.Load() && (l.stream == nil || !l.stream.Partial()) {
		return time.Time{}
	}
	return l.received()
}
