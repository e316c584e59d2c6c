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

// read hands over messages until the connection ends, or the goroutine is relieved. When a
// method of the user's connection ends the goroutine, the connection is over, and another
// goroutine goes on with the session.
func (l *link) read() error {
	if l.deserted {
		return net.ErrClosed
	}
	returned, number := false, l.session.handoffs.Load()
	defer func() {
		if !returned && l.session.handoffs.Load() == number {
			l.deserted = true
			go l.session.run(l.session.handoffs.Add(1), l)
		}
	}()
	err := l.readAll()
	returned = true
	return err
}

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

// maxTaken bounds what is handed over at a time.
const maxTaken = 256

var takenPool = sync.Pool{New: func() any { s := make([]packed, 0, maxTaken); return &s }}

// take is given messages by the stream.
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

// batch is what was taken; nil: nothing.
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

// answer answers a ping. It is the writer who does, so that the pong gets between two
// messages.
func (l *link) answer(ping []byte) {
	if l.client.queue.sendSigns(l, signs{pong: append([]byte{}, ping...)}) {
		go l.write(nil)
	}
}

// next waits for a message.
func (l *link) next() (inbound, error) {
	typ, r, err := l.conn.Reader()
	if err != nil {
		return inbound{}, err
	}
	l.inMessage.Store(true)
	defer l.inMessage.Store(false)
	limit := l.client.cfg.readLimit
	if limit < math.MaxInt64 { // the byte beyond the limit reveals a larger message
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

// deliver hands messages to who wants them, and runs the callbacks when the connection
// is busy. Its error is errHandedOff.
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

// dispatch is deliver for who cannot be relieved now.
func (l *link) dispatch(b *batch) {
	if b != nil && l.receive(b) {
		l.client.dispatcher.start()
	}
}

// receive puts messages into the inbox. When it reports true there is nobody who runs
// the callbacks.
func (l *link) receive(b *batch) (idle bool) {
	l.client.requests.offer(b, l.stall, l.resume)
	n, size := len(b.messages), b.size()
	l.client.messagesIn.Add(int64(n))
	l.client.bytesIn.Add(int64(size))
	if l.session.hasRetired() { // only answers matter now
		b.release()
		return false
	}
	defer l.resume()
	return l.client.dispatcher.receive(b, n, size, func() {
		l.client.requests.inboxFull()
		l.stall()
	}, l.over)
}

// stall and resume frame the time in which the reader waits for us: the peer's
// silence in it says nothing about the peer.
func (l *link) stall() {
	l.stalls.Add(1)
	l.stalled.Store(true)
}

func (l *link) resume() {
	if l.stalled.Load() {
		l.stalled.Store(false)
		l.heartbeat.resume()
	}
}

// over tells that a message need not wait for room in the inbox any more.
func (l *link) over() bool {
	select {
	case <-l.dead:
		return true
	case <-l.session.quit:
		return true
	default:
		return false
	}
}

// partial is when bytes last came in of a message that is not complete; zero when there
// is none, or no wire to see them on. While there is one all bytes belong to it, but for
// signs of life between fragments.
func (l *link) partial() time.Time {
	if l.wire == nil || !l.inMessage.Load() && (l.stream == nil || !l.stream.Partial()) {
		return time.Time{}
	}
	return l.received()
}
