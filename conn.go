package wechatws

import (
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/serial"
	"github.com/wechatws/wechatws/internal/ws"
)

const (
	// readGrace is how long the reader goes on after a write has failed. A close frame that
	// is still to be read gives a better cause than the error of the write.
	readGrace = time.Second
	// closeGrace is how long the answer to a close frame may take, or that to invalid data and the
	// end of what the peer still sends.
	closeGrace = time.Second
	// closeTimeout bounds the close handshake. If the close frame cannot be written, settleTime of
	// it is left for the end of the connection: a write that this ends may still have succeeded.
	closeTimeout = 2 * time.Second
	settleTime   = 250 * time.Millisecond
)

// A wireConn is the WebSocket connection of a link: a [ws.Conn] or a [boundary.Conn]. The
// methods are those of ws.Conn.
type wireConn interface {
	Receive() (*ws.Batch, error)
	Partial() bool
	Subprotocol() string
	AppendMessage(text bool, p []byte) error
	AppendPing(payload []byte) error
	AppendPong(payload []byte) error
	AppendClose(code int, reason string) error
	Flush() error
	TryFlush() (done bool, err error)
	Appended() int64
	Written() int64
	Seal() int64
	Discard()
	Abort()
}

// A link is one connection, with all that ends together with it: the reader, which is the
// session's goroutine; the writer, which exists while there is something to write (writer.go);
// and the timer of the heartbeat.
type link struct {
	client  *Client
	session *session
	number  int // among all of the client's connections, from 1
	dialed
	opened   time.Time  // set when it is open
	setup    *linkSetup // nil: nothing was set; not changed once it is open
	greeting greeting   // written before it is open

	heartbeat heartbeat
	reader    serial.Reader
	writer    writer

	unpack func(Message) ([]Message, error) // nil: messages are taken as they arrive
	packed *batch                           // the messages that are being unpacked; nil: none. Used as early is

	// Used on the reader goroutine only, and by login and Setup before it.
	early     []*batch // received, and not passed on yet: during setup, or when a match function has ended the reader
	dismissed bool     // the function of WithReply or WithUnpack has returned an error

	stalled atomic.Bool  // the reader waits for room in the inbox, or for a function of the user
	failing atomic.Bool  // a write has failed
	stalls  atomic.Int64 // how often it did

	dead    chan struct{} // closed at the end
	helpers sync.WaitGroup

	mu    sync.Mutex  // guards the fields below
	cause *CloseError // of the end; the first one that was set
	ended bool
}

// newLink returns the link of a connection that was dialed.
func newLink(s *session, got dialed) *link {
	c := s.client
	c.mu.Lock()
	c.connections++
	l := &link{client: c, session: s, number: c.connections, dialed: got, dead: make(chan struct{})}
	c.newest = l
	c.mu.Unlock()
	l.heartbeat.link, l.heartbeat.pulse = l, c.cfg.pulse
	l.reader.Queue, l.reader.Source = c.inbox, l
	switch conn := l.conn.(type) {
	case *ws.Conn:
		conn.ReadLimit, conn.SkipLarge, conn.StrictText = c.cfg.readLimit, !c.cfg.strict, c.cfg.strict
		conn.OnPing, conn.OnPong = l.answer, l.heartbeat.ponged
	case *boundary.Conn:
		conn.ReadLimit, conn.SkipLarge, conn.StrictText = c.cfg.readLimit, !c.cfg.strict, c.cfg.strict
		conn.OnPong = l.heartbeat.ponged
	}
	for _, fault := range l.faults() {
		fault.Live(l.connPanicked)
	}
	return l
}

// enter registers a helper goroutine unless the link has ended, and reports whether it
// did. If so, the caller must call helpers.Done.
func (l *link) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.helpers.Add(1)
	}
	return !l.ended
}

// blame sets the cause of the end unless there is one.
func (l *link) blame(cause *CloseError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = cause
	}
}

// fail ends the link at once, without a close handshake. It does not block: a user's
// connection is closed on a goroutine of its own. end waits for that, so that there are never
// two connections.
func (l *link) fail(cause *CloseError) {
	l.mu.Lock()
	if l.cause == nil {
		l.cause = cause
	}
	first := !l.ended
	if first {
		l.ended = true
		l.helpers.Add(1) // end waits for all of this, also when another goroutine has begun it
	}
	l.mu.Unlock()
	if !first {
		return
	}
	defer l.helpers.Done()
	close(l.dead)
	l.client.inbox.Wake()
	if cause.Err == ErrHalfOpen && l.socket != nil {
		l.socket.DropUnsent() // the server could read it after what the next connection brings
	}
	l.conn.Seal() // Abort of a user's connection may take its time
	l.conn.Abort()
	if l.socket != nil {
		l.socket.Abort()
	}
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

// end waits until all goroutines of the link have returned, and returns the cause of its end.
// readErr is the reader's error.
func (l *link) end(readErr error) *CloseError {
	l.fail(l.closeError(readErr))
	l.detach(net.ErrClosed)
	l.client.gone(l)
	l.heartbeat.stop()
	l.helpers.Wait()
	if u, ok := l.conn.(*boundary.Conn); ok {
		u.End()
	}
	if l.socket != nil {
		boundary.End(l.socket)
	}
	return l.why()
}

// answerEnd answers a close frame of the peer, or invalid data, with a close frame, whose reason
// contains nothing from the peer. Other errors of the reader are those of the connection. A user's
// connection has answered the peer's close frame itself.
func (l *link) answerEnd(readErr error) {
	_, own := l.conn.(*ws.Conn)
	code, reason, closed := 0, "", false
	switch err := readErr.(type) {
	case *ws.CloseError:
		if closed = true; !own {
			return
		}
		if code = err.Code; !utf8.ValidString(err.Reason) {
			code, reason = int(StatusInvalidFramePayloadData), "close reason is not UTF-8"
		}
	case *ws.LimitError:
		code, reason = int(StatusMessageTooBig), "message exceeds the read limit"
	case *ws.ProtocolError:
		code, reason = err.Code, err.Reason
	default:
		return
	}
	l.blame(l.closeError(readErr))
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	l.sendClose(ctx, code, reason)
	if !closed {
		// The end of a connection with unread bytes would discard what the socket has taken and
		// the peer has not.
		defer context.AfterFunc(ctx, l.conn.Abort)()
		l.conn.Discard()
	}
}

// isOwn reports whether only code of this module and the standard library writes to the
// socket.
func (l *link) isOwn() bool { return len(l.faults()) == 0 }

// why returns the cause of the end.
func (l *link) why() *CloseError {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// closeError makes a CloseError of the reader's error, without the text that the WebSocket
// library adds to it.
func (l *link) closeError(err error) *CloseError {
	var (
		ce       *ws.CloseError
		limit    *ws.LimitError
		protocol *ws.ProtocolError
		op       *net.OpError
		flaw     flate.CorruptInputError // of a user's connection
		pe       *PanicError
	)
	switch {
	case errors.As(err, &pe):
		return &CloseError{Code: StatusAbnormalClosure, Err: pe}
	case l.panicked() != nil:
		return &CloseError{Code: StatusAbnormalClosure, Err: l.panicked()}
	case l.socket != nil && l.socket.Refusal() != nil:
		return &CloseError{Code: StatusAbnormalClosure, Err: l.socket.Refusal()}
	case errors.As(err, &ce):
		code, reason := StatusCode(ce.Code), strings.ToValidUTF8(ce.Reason, "\uFFFD")
		return &CloseError{Code: code, Reason: reason, Remote: true, Err: l.lastWritten(code), said: l.client.cfg.says(reason), beat: l.endsAtBeat()}
	case errors.As(err, &limit):
		return &CloseError{Code: StatusMessageTooBig, Err: &ReadLimitError{Limit: limit.Limit, Connection: l.number}}
	case errors.As(err, &flaw), errors.As(err, &protocol) && protocol.Deflate:
		return &CloseError{Code: StatusInvalidFramePayloadData, Err: errCompression}
	case protocol == ws.ErrNotText:
		return &CloseError{Code: StatusInvalidFramePayloadData, Err: fmt.Errorf("%w: %w", ErrProtocol, ErrNotUTF8)}
	case protocol != nil:
		return &CloseError{Code: StatusCode(protocol.Code), Err: fmt.Errorf("%w: %w", ErrProtocol, err)}
	case errors.As(err, &op):
		err = bare(op)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		err = io.EOF
	case l.socket != nil && !l.socket.ReadFailed(): // invalid data on a working connection
		return &CloseError{Code: StatusProtocolError, Err: fmt.Errorf("%w: %w", ErrProtocol, err)}
	}
	return &CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err, beat: l.endsAtBeat()}
}

// bare returns the error of the kernel, without addresses and names of calls.
func bare(op *net.OpError) error {
	if call := (*os.SyscallError)(nil); errors.As(op.Err, &call) {
		return call.Err
	}
	return op.Err
}

// close performs the close handshake with the code and reason of cause, unless ctx ends, and ends the
// link.
func (l *link) close(ctx context.Context, cause *CloseError) {
	l.blame(cause)
	defer l.fail(cause)
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	writing, cancel := context.WithTimeout(ctx, closeTimeout-settleTime)
	defer cancel()
	if !l.sendClose(writing, int(cause.Code), cause.Reason) {
		return
	}
	select {
	case <-l.dead:
	case <-ctx.Done():
	}
}

// life returns what the connection shows of its peer.
func (l *link) life() ws.Life {
	if l.socket != nil {
		return l.socket.Life()
	}
	return l.conn.(*boundary.Conn).Life()
}

// until calls do, which uses a connection that is not open yet. When ctx ends, it ends the
// connection, and returns the cause.
func (l *link) until(ctx context.Context, do func() error) error {
	stop := context.AfterFunc(ctx, func() { l.fail(&CloseError{Code: StatusAbnormalClosure, Err: context.Cause(ctx)}) })
	defer stop()
	err := do()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// ReadOn implements [serial.ReaderSource].
func (l *link) ReadOn() { l.session.run(l) }

// handOffReader hands the reading of the open link off, if a callback runs on its reader's
// goroutine. It must be called before waiting for an incoming message.
func (c *Client) handOffReader() {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.reader.HandOff()
	}
}

// ReadAll reads until the connection ends, the error of which it returns, or until the reading is
// handed off. If a method of a user's connection calls runtime.Goexit, the connection ends, and
// another goroutine becomes the session's. After a match function that does so, that goroutine goes
// on. ReadAll implements [serial.ReaderSource].
//
// The frames from here down to the system call, and those of run, are small: while they fit
// into a stack of 2 KiB, an idle client has no larger one.
func (l *link) ReadAll() error {
	if err := l.readEarly(); err != nil {
		return err
	}
	for {
		b := l.unpackNext()
		if b == nil {
			received, err := l.conn.Receive() // not in nextBatch, whose frame would be one more
			if b, err = l.arrived(received, err); err != nil {
				return err
			}
		}
		if !l.pass(b) {
			return nil
		}
	}
}

// readEarly passes the messages in early on. It returns an error if a method of the connection
// has panicked.
func (l *link) readEarly() error {
	if l.panicked() != nil {
		return net.ErrClosed
	}
	for len(l.early) > 0 {
		b := l.early[0]
		l.early = l.early[1:]
		if n, size, ok := l.receive(b); ok && !l.split(b) {
			l.client.inbox.Put(b, n, size, l)
		}
	}
	return nil
}

// pass passes messages on, and reports whether the caller is the reader after that.
func (l *link) pass(b *batch) (goOn bool) {
	n, size, ok := l.receive(b)
	return !ok || l.split(b) || l.reader.Put(b, b.at, n, size)
}

// nextBatch receives messages; those of WithUnpack are what one message that has arrived was unpacked
// to.
func (l *link) nextBatch() (*batch, error) {
	if b := l.unpackNext(); b != nil {
		return b, nil
	}
	return l.arrived(l.conn.Receive())
}

// arrived returns the batch of what was received. After an error of the connection, which it
// returns, it answers what has ended it.
func (l *link) arrived(received *ws.Batch, err error) (*batch, error) {
	if err != nil {
		l.answerEnd(err)
		return nil, err
	}
	b := newBatch(l, received)
	if l.unpack != nil && b.Skipped == 0 {
		l.packed = b
		return l.unpackNext(), nil
	}
	if l.client.cfg.typeFunc != nil {
		l.show(b, l.prepare)
	}
	return b, nil
}

// answer answers a ping. The writer writes the pong, between two messages.
func (l *link) answer(ping []byte) {
	if l.sendSigns(signs{pongs: [][]byte{slices.Clone(ping)}}) {
		go l.write(false)
	}
}

// receive counts messages and passes them to requests. If it returns false, nothing else uses
// them.
func (l *link) receive(b *batch) (n, size int, ok bool) {
	l.match(b)
	n, size = len(b.Messages), b.size()
	l.client.messagesIn.Add(int64(n))
	l.client.bytesIn.Add(int64(size) + b.Skipped)
	if skipped := b.skipped(); skipped > 0 {
		l.client.skipped.Add(skipped)
	}
	if l.session.hasRetired() || n == 0 { // only answers to requests matter now
		b.release()
		return n, size, false
	}
	return n, size, true
}

// Stall implements [serial.Source].
func (l *link) Stall() {
	l.client.inboxFull()
	l.stalls.Add(1)
	l.stalled.Store(true)
}

// Resume is called when the reader reads again. Without a stall it does nothing. It implements
// [serial.Source].
func (l *link) Resume() {
	if l.stalled.Load() {
		l.heartbeat.resume()
		l.stalled.Store(false)
	}
}

// Over reports whether the link has ended or is about to, or nothing is dialed any more: then no
// message waits for room in the inbox. After a failed write the reader must come to the close frame.
// It implements [serial.Source].
func (l *link) Over() bool { return isClosed(l.dead) || l.failing.Load() || l.session.hasRetired() }

// canWriteNow reports whether the connection can be written to without blocking.
func (l *link) canWriteNow() bool {
	_, own := l.conn.(*ws.Conn)
	return own
}

// sendClose writes a close frame, behind what is being written, unless there was one. Nothing
// follows it. It blocks until the frame is written or the writing fails, and then returns true, or
// until ctx ends.
func (l *link) sendClose(ctx context.Context, code int, reason string) bool {
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	l.detachLocked(notOpen(net.ErrClosed))
	if !w.closing {
		w.closing, w.due = true, signs{replies: w.due.replies, close: &closing{code, reason}}
		l.startWriter()
	}
	return w.await(ctx, func() bool { return !w.writing.Load() }) == nil
}

// writeFailed ends the link after a write has failed, but leaves the reader some time, in which it
// does not wait for room in the inbox. Time in which it does not read does not count.
func (l *link) writeFailed(err error) {
	l.failing.Store(true)
	l.client.inbox.Wake()
	for stalls := int64(-1); l.stalled.Load() || stalls != l.stalls.Load(); {
		stalls = l.stalls.Load()
		select {
		case <-l.dead:
			return
		case <-time.After(readGrace):
		}
	}
	l.fail(&CloseError{Code: StatusAbnormalClosure, Err: fmt.Errorf("write: %w", err)})
}
