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
	// readGrace is how long the reader goes on after a write has failed: what
	// the peer said last, a close code or nothing, is the better cause.
	readGrace = time.Second
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

	handoff  handoff
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
