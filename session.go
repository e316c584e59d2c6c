package wechatws

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A session is what one Connect or Run starts. One goroutine, run, owns it: it
// dials, reads, waits and dials again, and nobody else ever dials.
type session struct {
	client   *Client
	number   int
	schedule *schedule // used by run alone

	// ctx is given to callbacks and to the endpoint and login functions. It ends when Close
	// begins, or after the last event of a session that failed or was shut down.
	ctx    context.Context
	cancel context.CancelFunc

	// patience ends when nothing is to be waited for any more: Close and Shutdown go on
	// as CloseNow does.
	graceful context.Context
	cut      context.CancelFunc

	unwatch  func()       // ends the watch of the network; nil: there is none
	handoffs atomic.Int32 // how often another goroutine has become the session's

	opened chan struct{} // closed at the first open
	quit   chan struct{} // closed when nothing is dialed any more
	over   chan struct{} // closed when its last move is made. Its goroutine may go on
	done   chan struct{} // closed when all its goroutines are gone
	err    error         // the permanent error; set before over
	left   error         // what was not delivered; set before over
	last   int64         // the dispatcher's place behind its last event; set before over

	// Guarded by the client's mutex.
	link         *link                   // while open
	retry        context.CancelCauseFunc // ends the attempt under way, to make another one at once
	route        *dialRoute              // of that attempt
	wake         chan struct{}           // filled by tryNow, emptied when an attempt begins or by the wait that it ends
	forced       bool                    // Reconnect asks for an attempt even without a network
	network      NetworkStatus
	networkKnown bool      // from a change
	retired      bool      // quit is closed
	closing      bool      // Close has begun, or the session has failed
	ends         time.Time // when all of Close has to be done
	cause        error     // why it is being closed; nil for Close itself
}

// errTryNow ends an attempt that is to be made again at once.
var errTryNow = errors.New("trying again at once")

// sessionKey is the key of the session in the contexts of the functions that it waits
// for before it ends.
type sessionKey struct{}

// retire ends the dialing. It is called with the client's mutex held.
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

// hasRetired reports whether nothing is dialed any more.
func (s *session) hasRetired() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}

// isOver reports whether the session has made its last move.
func (s *session) isOver() bool {
	select {
	case <-s.over:
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

// stayConnected returns when the session is over: with a permanent error, or with
// anything once it has retired.
func (s *session) stayConnected(l *link) error {
	schedule := s.schedule
	var last error
	for l != nil || s.awaitNetwork(schedule.attempt) {
		var err error
		if l == nil {
			l, err = s.attemptApart(schedule.attempt, last)
		}
		switch {
		case err == nil: // also when Close has begun since
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
			if err != nil { // without a schedule there is no going on
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

// wait spends the time until the next attempt, unless tryNow ends it, or was called
// already since the last attempt.
func (s *session) wait(attempt int, d time.Duration, cause error) {
	c := s.client
	c.mu.Lock()
	if s.retired { // perhaps its last move is made
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

// tryNow replaces the next wait by an attempt at once, whether that wait is under way
// or still to come: the user's functions may ask for it at any moment between the end
// of an attempt or a connection and the wait that follows. With anew the attempt under
// way is given up for another one. It is called with the client's mutex held.
func (s *session) tryNow(anew bool) {
	select {
	case s.wake <- struct{}{}:
	default:
	}
	if anew && s.retry != nil {
		s.retry(errTryNow)
	}
}

// linkEnded is called when the open link has ended.
func (s *session) linkEnded(l *link, cause *CloseError) {
	c := s.client
	c.mu.Lock()
	s.detach(l, cause)
	event := l.closed
	c.mu.Unlock()
	trace(s.eventContext(), c, c.cfg.trace.close, event)
}

// detach dispatches the end of the open link, once: both the session's goroutine and
// Close call it. It is called with the client's mutex held.
func (s *session) detach(l *link, cause *CloseError) {
	if s.link != l {
		return
	}
	s.link = nil
	c := s.client
	event := CloseEvent{Connection: l.number, Code: cause.Code, Reason: cause.Reason, Remote: cause.Remote, Err: cause}
	if s.closing && !cause.Remote && cause.Err == nil {
		event.Err = s.cause
	}
	l.closed = event
	if !s.closing {
		c.stats.Disconnects.count(cause)
	}
	c.dispatcher.event(s, func(ctx context.Context) { c.onClose.call(ctx, event, c.reporter(ctx)) })
	if !s.closing && cause.Remote && cause.Code == StatusMessageTooBig {
		c.queue.refused(l)
	}
	c.requests.lost(&c.queue, l, fmt.Errorf("%w: %w", ErrConnectionLost, cause))
}

// fail makes the session's last move, unless Close does or Shutdown is about to. It waits
// for that.
func (s *session) fail(err error) {
	c := s.client
	c.mu.Lock()
	if !s.retired {
		s.retire()
		s.begin()
		s.err = err
		s.settle(StateFailed, err)
	}
	c.mu.Unlock()
	<-s.over
}

// begin begins the end. It is called with the client's mutex held.
func (s *session) begin() {
	s.closing = true
	s.ends = time.Now().Add(s.client.cfg.drainTimeout + closeTimeout)
}

// settle makes the session's last move, when nothing can be written any more. It is
// called with the client's mutex held.
func (s *session) settle(to State, err error) {
	c := s.client
	refuse := ErrClosed
	if to == StateFailed {
		refuse = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	c.queue.accept(refuse)
	if to == StateClosed {
		s.left = c.queue.takeBack(refuse)
	}
	c.requests.lost(&c.queue, nil, refuse)
	c.move(StateChange{To: to, Attempt: c.attempt, Err: err})
	s.last = c.dispatcher.now()
	c.dispatcher.event(s, func(context.Context) { s.cancel() })
	close(s.over)
}

// gone is called when the session's goroutines have ended.
func (s *session) gone() {
	c := s.client
	c.mu.Lock()
	c.session = nil
	c.mu.Unlock()
	close(s.done)
	c.ended()
}

// outcome is the result of a session that is over.
func (s *session) outcome() error {
	if s.err != nil {
		return s.err
	}
	return s.left
}

// eventContext is the context for an event: unlike that of messages, it has not ended
// after Close has begun, since callbacks may have work to do about the event.
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
