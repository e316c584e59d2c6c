package wechatws

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A session is what one Connect or Run starts. Its goroutine, run, dials, reads the open
// connection, waits, and dials again; there is no other goroutine that dials. The session
// ends in three steps: it retires, and dials no more; it is over, when its last state
// change is made; it is done, when its goroutines have returned.
type session struct {
	client   *Client
	number   int       // among all of the client's sessions, from 1
	schedule *schedule // used by run only

	// ctx is the context of callbacks, and of the endpoint and login functions. It ends when
	// Close begins, or after the last event of a session that failed or was shut down.
	ctx    context.Context
	cancel context.CancelFunc

	// graceful ends when CloseNow is called, or the context of Shutdown ends. Then Close and
	// Shutdown go on as CloseNow does.
	graceful context.Context
	cut      context.CancelFunc

	unwatch  func()       // ends the watch of the network; nil: there is none
	handoffs atomic.Int32 // how often another goroutine has become the session's

	opened   chan struct{} // closed at the first open connection
	quit     chan struct{} // closed when the session retires
	over     chan struct{} // closed after the last state change
	done     chan struct{} // closed when all its goroutines have returned
	err      error         // the permanent error; set before over is closed
	left     error         // the *UndeliveredError; set before over is closed
	last     int64         // dispatcher.now after its last event; set before over is closed
	cutShort bool          // graceful had ended by the last state change; set before over

	// Guarded by the client's mutex.
	link         *link                   // the open one; nil: none
	retry        context.CancelCauseFunc // ends the attempt under way; nil: there is none
	route        *dialRoute              // of that attempt
	wake         chan struct{}           // filled by tryNow; emptied by the wait or the attempt that follows
	forced       bool                    // Reconnect was called: try without a network too
	network      NetworkStatus
	networkKnown bool      // the monitor has reported a change
	retired      bool      // quit is closed
	closing      bool      // Close has begun, or the session has failed
	ends         time.Time // when Close must have returned
	cause        error     // of the end; nil: Close, CloseNow or Shutdown was called
}

// errTryNow is the cause with which tryNow ends an attempt.
var errTryNow = errors.New("trying again at once")

// sessionKey is the key of the session in the contexts of the functions that it waits for
// before it is done.
type sessionKey struct{}

// retire ends the dialing, an attempt under way included. It is called with the client's
// mutex held.
func (s *session) retire() {
	if s.retired {
		return
	}
	s.retired = true
	close(s.quit)
	if s.retry != nil {
		s.retry(context.Canceled) // no link can open from here on
	}
}

// hasRetired reports whether the session has retired.
func (s *session) hasRetired() bool { return isClosed(s.quit) }

// isOver reports whether the session has made its last state change.
func (s *session) isOver() bool { return isClosed(s.over) }

// isClosed reports whether a channel that is never sent to is closed.
func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// replaceReader starts another goroutine for the session, which goes on with reading l.
func (s *session) replaceReader(l *link) { go s.run(s.handoffs.Add(1), l) }

// run is the session's goroutine. number is the hand-off that started it, zero for the
// first one. After a hand-off it begins with reading l.
func (s *session) run(number int32, l *link) {
	if number == 0 {
		s.watchNetwork()
	}
	err := s.stayConnected(l)
	if s.handoffs.Load() == number {
		s.fail(err)
		s.unwatchNetwork()
		s.gone()
	}
}

// stayConnected connects again and again, beginning with reading l unless that is nil. It
// returns a permanent error; errHandedOff; or any value once the session has retired.
func (s *session) stayConnected(l *link) error {
	schedule := s.schedule
	var last error
	for l != nil || s.awaitNetwork(schedule.attempt) {
		var err error
		if l == nil {
			l, err = s.attemptApart(schedule.attempt, last)
		}
		switch {
		case err == nil: // also if Close has begun since
			schedule.opened = true
			if err = l.read(); errors.Is(err, errHandedOff) {
				return err
			}
			cause := l.end(err)
			err = apart(func() error { schedule.ended(time.Since(l.opened)); return nil })
			s.linkEnded(l, cause)
			l = nil
			if s.hasRetired() {
				return nil
			}
			if err != nil { // the session cannot go on without a schedule
				return errors.Join(err, cause)
			}
			if last = cause; errors.Is(last, ErrReconnect) {
				schedule.attempt++
				continue
			}
		case s.hasRetired():
			return nil
		case errors.Is(err, errTryNow):
			continue
		default:
			last = err
			s.client.reportLater(s, err)
		}
		if errors.Is(last, ErrCompression) && !s.client.uncompressed.Swap(true) {
			s.client.reportLater(s, ErrCompression)
		}
		var wait time.Duration
		var over bool
		err = apart(func() error { wait, over = schedule.next(last); return nil })
		if err != nil { // as above
			return errors.Join(err, last)
		}
		if over {
			return last
		}
		s.wait(schedule.attempt, wait, last)
	}
	return nil
}

// wait blocks for d, until the next attempt. It returns at once when tryNow is called, or was
// called since the last attempt began.
func (s *session) wait(attempt int, d time.Duration, cause error) {
	c := s.client
	c.mu.Lock()
	if s.retired { // its last state change may be made
		c.mu.Unlock()
		return
	}
	change := c.move(StateChange{To: StateWaiting, Attempt: attempt, RetryIn: d, Err: cause})
	c.mu.Unlock()
	trace(s.eventContext(), c, c.cfg.trace.retry, change)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-s.quit:
	}
}

// tryNow ends the wait under way, or the next one: a user's function may call for an attempt
// after a connection has ended and before the wait begins. If anew is true, it also ends
// the attempt under way, and another one follows at once. It is called with the client's
// mutex held.
func (s *session) tryNow(anew bool) {
	select {
	case s.wake <- struct{}{}:
	default:
	}
	if anew && s.retry != nil {
		s.retry(errTryNow)
	}
}

// linkEnded is called on the session's goroutine when the open link has ended.
func (s *session) linkEnded(l *link, cause *CloseError) {
	c := s.client
	ending := endingOf(cause)
	c.mu.Lock()
	s.detach(l, ending)
	event := l.closed
	c.mu.Unlock()
	trace(s.eventContext(), c, c.cfg.trace.close, event)
}

// An ending is what follows from the cause of a link's end. The cause may wrap an error of
// the user, whose methods must not be called with a mutex held.
type ending struct {
	cause *CloseError
	count Disconnects // one disconnect
	lost  error       // for the requests on the link
}

func endingOf(cause *CloseError) ending {
	e := ending{cause: cause, lost: fmt.Errorf("%w: %w", ErrConnectionLost, cause)}
	e.count.count(cause)
	return e
}

// detach detaches the open link and dispatches its CloseEvent, once: both the session's
// goroutine and Close call it. It is called with the client's mutex held.
func (s *session) detach(l *link, ending ending) {
	if s.link != l {
		return
	}
	s.link = nil
	c, cause := s.client, ending.cause
	event := CloseEvent{Connection: l.number, Code: cause.Code, Reason: cause.Reason, Remote: cause.Remote, Err: cause}
	if s.closing && !cause.Remote && cause.Err == nil {
		event.Err = s.cause
	}
	l.closed = event
	if !s.closing {
		c.stats.Disconnects.add(ending.count)
	}
	c.dispatcher.event(s, func(ctx context.Context) { c.onClose.call(ctx, event, c.reporter(ctx)) })
	if !s.closing && cause.Remote && cause.Code == StatusMessageTooBig {
		c.queue.refused(l)
	}
	c.requests.lost(&c.queue, l, ending.lost)
}

// fail ends the session with a permanent error, unless Close or Shutdown was called. It
// blocks until the session is over.
func (s *session) fail(err error) {
	c := s.client
	refuse := fmt.Errorf("%w: %w", ErrClosed, err) // not with a mutex held: err may be the user's
	c.mu.Lock()
	if !s.retired {
		s.retire()
		s.begin()
		s.err = err
		s.settle(StateFailed, err, refuse)
	}
	c.mu.Unlock()
	<-s.over
}

// begin begins the end of the session. It is called with the client's mutex held.
func (s *session) begin() {
	s.closing = true
	s.ends = time.Now().Add(s.client.cfg.drainTimeout + closeTimeout)
}

// settle makes the session's last state change, to StateClosed or StateFailed, after the
// link has ended. From then on the queue refuses messages. It is called with the client's
// mutex held.
func (s *session) settle(to State, err, refuse error) {
	c := s.client
	c.queue.accept(refuse)
	if to == StateClosed {
		s.left = c.queue.takeBack(refuse)
	}
	c.requests.lost(&c.queue, nil, refuse)
	c.move(StateChange{To: to, Attempt: c.attempt, Err: err})
	s.last = c.dispatcher.now()
	s.cutShort = s.graceful.Err() != nil // not later: cancel may end the context of Shutdown
	c.dispatcher.event(s, func(context.Context) { s.cancel() })
	close(s.over)
}

// gone is called when the session's goroutines have returned.
func (s *session) gone() {
	c := s.client
	c.mu.Lock()
	c.session = nil
	c.mu.Unlock()
	close(s.done)
	c.ended()
}

// outcome returns the error of a session that is over.
func (s *session) outcome() error {
	if s.err != nil {
		return s.err
	}
	return s.left
}

// eventContext returns the context for the callbacks of an event. Unlike that of messages it
// has not ended once Close has begun, since these callbacks may have to use it. s may be
// nil.
func (s *session) eventContext() context.Context {
	switch {
	case s == nil: // before the first Connect
		return context.Background()
	case s.ctx.Err() != nil:
		return context.WithoutCancel(s.ctx)
	default:
		return s.ctx
	}
}
