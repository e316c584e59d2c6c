package wechatws

import (
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/transport"
)

const (
	// readGrace is how long the reader goes on after a write has failed. A close frame that
	// is still to be read gives a better cause than the error of the write.
	readGrace = time.Second
	// closeTimeout bounds the close handshake.
	closeTimeout = 2 * time.Second
)

// A link is one connection, with all that ends together with it: the reader, which is the
// session's goroutine (reader.go); the writer, which exists while there is something to
// write (writer.go); and the timer of the heartbeat.
type link struct {
	client  *Client
	session *session
	number  int // among all of the client's connections, from 1
	dialed
	born   time.Time
	opened time.Time     // set when it is open
	hold   time.Duration // see Setup.HoldQueue; set before it is open

	heartbeat heartbeat
	handoff   handoff

	// Used on the reader goroutine only; early by Setup before it.
	early    []inbound // received during setup
	taken    *[]packed // received from stream, and not in the inbox yet; nil: none
	lastRead time.Time // when the last batch arrived
	deserted bool      // runtime.Goexit has ended the reader

	inMessage atomic.Bool  // the WebSocket library is in the middle of a message
	lastHeard atomic.Int64 // without a wire: nanoseconds from born to the last message or pong
	stalled   atomic.Bool  // the reader waits for room in the inbox
	stalls    atomic.Int64 // how often it did

	// Guarded by the queue's mutex.
	writing   bool      // there is a writer
	wrote     time.Time // when the last batch was written
	due       signs
	cut       *outgoing   // written in part when a write failed
	held      bool        // see Setup.HoldQueue
	holding   *time.Timer // ends held; nil: it never was
	outside   int         // functions of the user that hold the writer up
	abandoned bool        // Close has taken the batch in flight back from the writer

	gathered atomic.Pointer[writing] // given to the wire last
	written  atomic.Int64            // without a wire: how many messages of the batch in flight

	closed CloseEvent // set when the session detaches the link; guarded by the client's mutex

	dead    chan struct{} // closed at the end
	helpers sync.WaitGroup

	mu    sync.Mutex  // guards the fields below
	cause *CloseError // of the end; the first one that was set
	ended bool
}

// newLink returns the link of a connection that was dialed, and makes its wire gather writes.
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
// connection is closed on a helper goroutine. end waits for that, so that there are never
// two connections.
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
	case cause.Remote && cause.Err == nil: // the reply to the peer's close frame may be pending
		l.wire.Close()
	default:
		l.wire.abort()
		if l.wire.foreign { // its Close may block
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

// end waits until all goroutines of the link have returned, and returns the cause of its
// end. readErr is the reader's error.
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

// isOwn reports whether only code of this module and the standard library writes to the
// socket.
func (l *link) isOwn() bool {
	_, foreign := l.conn.(*userConn)
	return !foreign && l.wire != nil && !l.wire.foreign
}

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
		ce    *transport.CloseError
		limit *ReadLimitError
		op    *net.OpError
		flaw  flate.CorruptInputError
		pe    *PanicError
	)
	switch {
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
	case l.wire != nil && !l.wire.readFailed.Load(): // invalid data on a working connection
		return &CloseError{Code: StatusProtocolError, Err: fmt.Errorf("%w: %w", ErrProtocol, err)}
	}
	return &CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err}
}

// bare returns the error of the kernel, without addresses and names of calls.
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
		_ = l.conn.Close(int(code), reason) // the link ends in any case
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// hear records that a message or a pong has arrived. It is used without a wire, which
// sees the bytes.
func (l *link) hear() { l.lastHeard.Store(int64(time.Since(l.born))) }

// heard returns when the peer last showed that it is alive. Progress of a write counts.
func (l *link) heard() time.Time {
	if l.wire != nil {
		return time.Now().Add(-l.wire.silent())
	}
	return l.received()
}

// received returns when bytes last arrived; without a wire, a message or a pong.
func (l *link) received() time.Time {
	if l.wire != nil {
		return l.wire.born.Add(time.Duration(l.wire.lastRead.Load()))
	}
	return l.born.Add(time.Duration(l.lastHeard.Load()))
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
