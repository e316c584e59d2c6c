package wechatws

import (
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/internal/frames"
	"github.com/wechatws/wechatws/transport"
)

const (
	// lastWords is how long the reader goes on after a write has failed: what
	// the peer said last, a close code or nothing, is the better cause.
	lastWords = time.Second
	// closeTimeout bounds the close handshake with a peer that no longer answers.
	closeTimeout = 2 * time.Second
)

// A link is one connection. It has a reader, which is the session's goroutine, a
// writer, which exists while there is something to write, and a heartbeat's
// timer, and dies as a whole. News from a dead link is harmless since all it can
// reach is its own link.
type link struct {
	client  *Client
	session *session
	number  int // among all of the client's connections
	dialed
	born   time.Time
	opened time.Time // set once it is

	heartbeat heartbeat
	early     []inbound     // what came while it was opening; the reader's
	hold      time.Duration // see Setup.HoldQueue; set before it is open
	taken     *[]packed     // by the stream, and not handed over yet; the reader's

	inMessage atomic.Bool  // the library has read the beginning of a message, and not its end
	lastHeard atomic.Int64 // when there is no wire: the last message or pong, since born
	stalled   atomic.Bool  // the reader waits for room and does not read
	stalls    atomic.Int64 // how often it did

	// Guarded by the queue's mutex, which hands out the work.
	writing   bool      // somebody writes
	wrote     time.Time // when that was over last
	due       signs
	cut       *outgoing   // whose writing has failed half-way
	held      bool        // no message may be written yet
	abandoned bool        // what is being written is not the writer's any more
	holding   *time.Timer // ends that; nil: it never was

	gathered atomic.Pointer[writing] // what was given to the wire last
	written  atomic.Int64            // messages of the batch that is being written, without a wire

	closed CloseEvent // set when the session has it no more; guarded by the client's mutex

	relief   relief
	lastRead time.Time // when messages came last; the reader's
	deserted bool      // its reader has ended without returning; the reader's

	mu      sync.Mutex
	cause   *CloseError // why it ended or is about to; the first one counts
	ended   bool
	dead    chan struct{} // closed when it ended
	helpers sync.WaitGroup
}

func newLink(s *session, got dialed) *link {
	c := s.client
	c.mu.Lock()
	c.connections++
	l := &link{client: c, session: s, number: c.connections, dialed: got, born: time.Now(), dead: make(chan struct{})}
	c.newest = l
	c.mu.Unlock()
	l.heartbeat.link, l.heartbeat.cfg = l, &c.cfg
	for _, fault := range l.faults() {
		fault.link.Store(l)
	}
	if l.wire != nil {
		l.wire.goLive()
	}
	return l
}

// enter counts a goroutine in that works for the link, unless it has ended. Who
// enters calls helpers.Done.
func (l *link) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.helpers.Add(1)
	}
	return !l.ended
}

// blame sets the cause unless there is one.
func (l *link) blame(cause *CloseError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = cause
	}
}

// fail ends the link at once, without a close handshake. It does not block: a connection
// of the user's is closed by a helper. end waits for that, or the next connection would be
// made before this one is closed.
func (l *link) fail(cause *CloseError) {
	l.blame(cause)
	l.mu.Lock()
	first := !l.ended
	if first {
		l.ended = true
		l.helpers.Add(1)
	}
	l.mu.Unlock()
	if !first {
		return
	}
	close(l.dead)
	l.client.dispatcher.wake()
	if u, ok := l.conn.(*userConn); ok {
		u.over.Store(true)
	}
	switch {
	case l.wire == nil:
		go func() {
			defer l.helpers.Done()
			l.conn.CloseNow()
		}()
		return
	case cause.Remote && cause.Err == nil: // the answer to its close frame may be on its way
		l.wire.Close()
	default:
		l.wire.abort()
		if l.wire.foreign { // its Close may take its time
			l.wire.seal()
		}
	}
	l.helpers.Done()
}

// connPanicked ends the link because a method of its connection has panicked. The panic
// is the cause, or is reported when there is another one.
func (l *link) connPanicked(err error) {
	cause := &CloseError{Code: StatusAbnormalClosure, Err: err}
	l.fail(cause)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != cause {
		l.client.reportLater(l.session, err)
	}
}

// end waits until all that belongs to the link is gone, and tells why it ended.
// readErr is what the reader met.
func (l *link) end(readErr error) *CloseError {
	l.fail(l.closeError(readErr))
	l.client.queue.detached(l)
	l.client.gone(l)
	l.heartbeat.stop()
	if l.wire != nil {
		_ = apart(l.conn.CloseNow)
	}
	l.helpers.Wait()
	if l.wire != nil {
		l.wire.end()
	}
	return l.why()
}

// why is the cause of the end.
func (l *link) why() *CloseError {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// closeError makes a CloseError of what ended the reading.
func (l *link) closeError(err error) *CloseError {
	var (
		ce    *transport.CloseError
		limit *ReadLimitError
		op    *net.OpError
		flaw  flate.CorruptInputError
		pe    *PanicError
	)
	switch { // without what the library says around it
	case errors.As(err, &pe):
		return &CloseError{Code: StatusAbnormalClosure, Err: pe}
	case l.panicked() != nil:
		return &CloseError{Code: StatusAbnormalClosure, Err: l.panicked()}
	case l.wire != nil && l.wire.refusal.Load() != nil:
		return &CloseError{Code: StatusAbnormalClosure, Err: *l.wire.refusal.Load()}
	case errors.As(err, &ce):
		return &CloseError{Code: StatusCode(ce.Code), Reason: strings.ToValidUTF8(ce.Reason, "\uFFFD"), Remote: true}
	case errors.As(err, &limit):
		return &CloseError{Code: StatusMessageTooBig, Err: limit}
	case errors.As(err, &flaw):
		return &CloseError{Code: StatusInvalidFramePayloadData, Err: ErrCompression}
	case errors.As(err, &op):
		err = bare(op)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		err = io.EOF
	case l.wire != nil && !l.wire.readFailed.Load(): // the connection is fine, and what came is not
		return &CloseError{Code: StatusProtocolError, Err: fmt.Errorf("%w: %w", ErrProtocol, err)}
	}
	return &CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err}
}

// bare is what went wrong in the kernel, without the addresses and the names of
// calls around it.
func bare(op *net.OpError) error {
	if call := (*os.SyscallError)(nil); errors.As(op.Err, &call) {
		return call.Err
	}
	return op.Err
}

// close performs the close handshake, unless ctx ends, and ends the link.
func (l *link) close(ctx context.Context, code StatusCode, reason string) {
	cause := &CloseError{Code: code, Reason: reason}
	l.blame(cause)
	defer l.fail(cause)
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if ctx.Err() != nil || !l.enter() {
		return
	}
	closed := make(chan struct{})
	go func() {
		defer l.helpers.Done()
		defer close(closed)
		if l.stream != nil {
			l.stream.Pass()
		}
		_ = l.conn.Close(int(code), reason) // whatever it met, the link is over
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// read hands over messages until the connection ends, or the goroutine is relieved. When a
// method of the user's connection ends the goroutine, the connection is over, and another
// goroutine goes on with the session.
func (l *link) read() error {
	if l.deserted {
		return net.ErrClosed
	}
	returned, number := false, l.session.reliefs.Load()
	defer func() {
		if !returned && l.session.reliefs.Load() == number {
			l.deserted = true
			go l.session.run(l.session.reliefs.Add(1), l)
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
		l.handOver(single(in))
	}
	var taken *batch
	if l.stream != nil {
		l.stream.Take(frames.Receiver{
			Limit: l.client.cfg.readLimit, Message: l.take,
			Ping: l.answer, Pong: l.heartbeat.ponged,
			Idle:  func() { l.handOver(l.batch()) },
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

// partial is when bytes last came in of a message that is not complete; zero when there
// is none, or no wire to see them on. While there is one all bytes belong to it, but for
// signs of life between fragments.
func (l *link) partial() time.Time {
	if l.wire == nil || !l.inMessage.Load() && (l.stream == nil || !l.stream.Partial()) {
		return time.Time{}
	}
	return l.received()
}

// deliver hands messages to who wants them, and runs the callbacks when the connection
// is busy. Its error is errRelieved.
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

// handOver is deliver for who cannot be relieved now.
func (l *link) handOver(b *batch) {
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

// hear notes a sign of life that is seen above the wire.
func (l *link) hear() { l.lastHeard.Store(int64(time.Since(l.born))) }

// heard is when the last sign of life came. A write that is under way counts as one.
func (l *link) heard() time.Time {
	if l.wire != nil {
		return time.Now().Add(-l.wire.silent())
	}
	return l.received()
}

// received is when something last came in.
func (l *link) received() time.Time {
	if l.wire != nil {
		return l.wire.born.Add(time.Duration(l.wire.lastRead.Load()))
	}
	return l.born.Add(time.Duration(l.lastHeard.Load()))
}

// writeBlocked tells that the socket is slow to take what is being written.
func (l *link) writeBlocked() bool { return l.wire != nil && l.wire.writeSince.Load() != 0 }

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

// A writing is what was taken out of the queue together.
type writing struct {
	batch   []*outgoing
	n       int // how many of these were written
	err     error
	settled bool // the queue knows
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
		l.client.queue.rest(l)
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
		l.client.queue.rest(l)
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
	case <-time.After(lastWords):
	}
	l.fail(&CloseError{Code: StatusAbnormalClosure, Err: fmt.Errorf("write: %w", err)})
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

// progress is how many messages of the batch that is being written the socket has taken. It
// does not wait for the writer.
func (l *link) progress() (n int) {
	if l.wire == nil {
		return int(l.written.Load())
	}
	w := l.gathered.Load()
	if w == nil || len(w.batch) == 0 || w.batch[0] != l.client.queue.flying[0] {
		return 0 // it is being gathered
	}
	upTo := l.wire.seal()
	for n < len(w.batch) && w.batch[n].end <= upTo {
		n++
	}
	return n
}

func (l *link) writeMessage(t transport.MessageType, p []byte) error {
	if l.stream != nil && !l.compressed && len(p) <= frames.MaxWrite {
		return l.stream.WriteMessage(t == transport.TextMessage, p)
	}
	return l.conn.Write(t, p)
}

// until does something with a connection that is not open yet, and drops the
// connection when ctx ends.
func (l *link) until(ctx context.Context, do func() error) error {
	stop := context.AfterFunc(ctx, func() { l.fail(&CloseError{Code: StatusAbnormalClosure, Err: context.Cause(ctx)}) })
	defer stop()
	err := do()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
