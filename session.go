package wechatws

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws/internal/netmon"
	"github.com/wechatws/wechatws/internal/serial"
)

// A session is what one Connect or Run starts. Its goroutine dials, reads the open
// connection, waits, and dials again; there is no other goroutine that dials. The session
// ends in three steps: it retires, and dials no more; it is over, when its last state
// change is made; it is done, when its goroutines have returned.
type session struct {
	client   *Client
	number   int       // among all of the client's sessions, from 1
	schedule *schedule // used by the session's goroutine only

	// ctx is the context of callbacks, and of the endpoint and login functions. It ends when
	// Close begins, or after the last event of a session that failed or was shut down.
	ctx    context.Context
	cancel context.CancelFunc

	// graceful ends when CloseNow is called, or the context of Shutdown ends. Then Close and
	// Shutdown go on as CloseNow does.
	graceful context.Context
	cut      context.CancelFunc

	unwatch func() // ends the watch of the network; nil: there is none

	opened   chan struct{} // closed at the first open connection
	quit     chan struct{} // closed when the session retires
	over     chan struct{} // closed after the last state change
	done     chan struct{} // closed when all its goroutines have returned
	err      error         // the permanent error; set before over is closed
	left     error         // the *UndeliveredError; set before over is closed
	last     int64         // inbox.Added after its last event; set before over is closed
	cutShort bool          // graceful had ended by the last state change; set before over
	warned   bool          // warnUnheard has logged a failure; used by the session's goroutine only
	ends     time.Time     // when Close must have returned; set when the end begins

	wake   chan struct{} // filled by tryNow; emptied by the wait or the attempt that follows
	route  netmon.Route  // of the last attempt that has dialed
	dialed time.Time     // when the last attempt began; used by the session's goroutine only
}

// current is the session that is not done, and the state of it that the client's mutex guards.
type current struct {
	session *session       // nil: none
	network *NetworkStatus // nil: not read yet, or there is no monitor
	forced  bool           // Reconnect was called: try without a network too
	closing bool           // Close has begun, or the session has failed
	anew    bool           // the monitor has ended the attempt before, for a network that came or went
	cause   error          // of the end; nil: Close, CloseNow or Shutdown was called
	moved   time.Time      // when another route to the server was last reported to an open connection

	retry  context.CancelCauseFunc // ends the attempt under way; nil: there is none
	newest *link                   // the last one, also before it is open; nil: it has ended
	link   *link                   // the open one; nil: none

	lastOpen int // number of the last connection that was open; zero: none was
}

// errTryNow is the cause with which tryNow ends an attempt.
var errTryNow = errors.New("trying again at once")

// sessionKey is the key of the session in the contexts of the functions that it waits for
// before it is done.
type sessionKey struct{}

// retire ends the dialing, an attempt under way included. It is called with the client's
// mutex held.
func (s *session) retire() {
	if s.hasRetired() {
		return
	}
	close(s.quit)
	if retry := s.client.retry; retry != nil {
		retry(context.Canceled) // no link can open from here on
	}
	s.client.verdict.end()
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

// start is the session's goroutine until the first link is open.
func (s *session) start() {
	s.watchNetwork()
	s.stayConnected(nil)
}

// run is the session's goroutine from when l is open. When the reading of l is handed off,
// another goroutine takes its place, and begins with run too.
func (s *session) run(l *link) {
	if err := l.reader.Read(); err != serial.ErrHandedOff {
		s.reconnect(l, err)
	}
}

// reconnect is the session's goroutine after that, with the error of the reader.
func (s *session) reconnect(l *link, readErr error) {
	cause, err := s.linkEnded(l, readErr)
	if err != nil {
		s.end(err)
		return
	}
	s.stayConnected(cause)
}

// stayConnected dials until a link is open, which another goroutine then reads: dialing needs a
// large stack, which a goroutine would retain while it reads. last is the cause of the end of the
// link before, if there was one.
func (s *session) stayConnected(last error) {
	l, err := s.nextLink(last)
	if err != nil {
		s.end(err)
		return
	}
	go s.run(l)
}

// end is the end of the session's goroutine, with a permanent error, or any value once the
// session has retired.
func (s *session) end(err error) {
	s.fail(err)
	s.unwatchNetwork()
	s.gone()
}

// nextLink makes attempts until a link is open. It returns a permanent error, or any other one once
// the session has retired.
func (s *session) nextLink(last error) (*link, error) {
	schedule := s.schedule
	for s.awaitNetwork(schedule.attempt) {
		l, err := s.attempt(schedule.attempt, last)
		switch {
		case err == nil: // also if Close has begun since
			schedule.opened = true
			return l, nil
		case s.hasRetired():
			return nil, err
		case errors.Is(err, errTryNow):
			s.spreadChange()
			continue
		}
		last = err
		s.client.reportLater(s, err)
		if err := s.pause(last, schedule.delay, 0); err != nil {
			return nil, err
		}
	}
	return nil, context.Canceled
}

// linkEnded ends the link, which was open, with the error of its reader, and waits until the
// next attempt is due. It returns the cause of the end, and an error as nextLink does.
func (s *session) linkEnded(l *link, readErr error) (cause *CloseError, err error) {
	schedule := s.schedule
	cause = l.end(readErr)
	arrived := s.client.inbox.Added()
	err = users.Apart(func() error { schedule.ended(time.Since(l.opened)); return nil })
	s.detached(l, cause)
	switch {
	case s.hasRetired():
		return cause, context.Canceled
	case err != nil: // the session cannot go on without a schedule
		return cause, errors.Join(err, cause)
	case errors.Is(cause, ErrReconnect):
		schedule.attempt++
		return cause, nil
	case s.handedOver(l, cause):
		return cause, s.pause(cause, s.handOver, arrived)
	default:
		return cause, s.pause(cause, schedule.delay, arrived)
	}
}

// pause waits until the next attempt is due, after an attempt or a connection that has ended with
// last. It returns a permanent error, for which it waits until the first arrived items of the inbox
// have run, see verdict.go.
func (s *session) pause(last error, delay func(error) (wait time.Duration, over bool), arrived int64) error {
	c := s.client
	if errors.Is(last, errCompression) && !c.uncompressed.Swap(true) {
		c.reportLater(s, errCompression)
	}
	var wait time.Duration
	var over bool
	ready := c.inbox.Wait(atOnce, arrived) == nil
	err := users.Apart(func() error {
		if over = ready && s.schedule.isOver(last); !over {
			wait, over = delay(last)
		}
		return nil
	})
	now := c.cfg.now()
	if err == nil && !over {
		s.nowWaiting(wait, last)
	}
	if err == nil && !ready {
		s.awaitVerdict(arrived, wait)
		err = users.Apart(func() error { over = over || !s.hasRetired() && s.schedule.isOver(last); return nil })
	}
	switch {
	case err != nil: // as above
		return errors.Join(err, last)
	case over:
		return last
	}
	s.sleep(now, wait, s.schedule.spread())
	return nil
}

// nowWaiting changes the state for a wait of d, until the next attempt.
func (s *session) nowWaiting(d time.Duration, cause error) {
	c := s.client
	c.mu.Lock()
	if s.hasRetired() { // its last state change may be made
		c.mu.Unlock()
		return
	}
	change := c.move(StateChange{To: StateWaiting, Attempt: s.schedule.attempt, RetryIn: d, Err: cause})
	c.mu.Unlock()
	trace(s.eventContext(), c, c.cfg.trace.retry, change)
	s.warnUnheard(cause, d)
}

// spreadChange blocks until an attempt that follows a change of the network may begin. One that
// Reconnect was called for follows at once.
func (s *session) spreadChange() {
	s.client.mu.Lock()
	forced := s.client.forced
	s.client.mu.Unlock()
	if spread := s.schedule.spread(); !forced {
		s.sleep(s.client.cfg.now(), spread, spread)
	}
}

// sleep blocks until d after last. It returns early when tryNow is called, or was called since the
// last attempt began, and after the machine was suspended. A change of the network ends it after
// spread, which is drawn once: the shortest of several would bring most clients back early.
func (s *session) sleep(last instant, d, spread time.Duration) {
	c := s.client
	due := last.monotonic.Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		now := c.cfg.now()
		if !now.monotonic.Before(due) || now.slept(last) > jumpAfter {
			return
		}
		last = now
		check := now.wall.Truncate(suspendCheck).Add(suspendCheck)
		timer.Reset(min(due.Sub(now.monotonic), check.Sub(now.wall)))
		select {
		case <-timer.C:
		case <-s.wake:
			if at := s.soonest(spread); at.Before(due) {
				due = at
			}
		case <-s.quit:
			return
		}
	}
}

// suspendCheck is how often a wait looks whether the machine was suspended, which only the
// wall clock shows. All clients of a process look at the same instants.
const suspendCheck = 5 * time.Second

// changePause is the shortest time from one attempt to the next one that a change of the
// network causes: a monitor may report changes without end.
const changePause = time.Second

// soonest returns when the attempt that tryNow was called for may begin. Without a network there is
// none, and the wait for the network begins.
func (s *session) soonest(spread time.Duration) time.Time {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	at := s.dialed.Add(changePause)
	switch now := time.Now(); {
	case c.forced:
		return time.Time{}
	case c.network != nil && !c.network.Connected:
		return at
	case at.Before(now):
		at = now
	}
	return at.Add(spread)
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
	s.client.verdict.isDue()
	if retry := s.client.retry; anew && retry != nil {
		retry(errTryNow)
	}
}

// detached detaches the link, unless Close has done so, and calls the trace functions for its end.
func (s *session) detached(l *link, cause *CloseError) {
	c := s.client
	ending := endingOf(cause)
	c.mu.Lock()
	event := s.detach(l, ending)
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
// goroutine and Close call it. It returns that event. It is called with the client's mutex
// held.
func (s *session) detach(l *link, ending ending) CloseEvent {
	c, cause := s.client, ending.cause
	event := CloseEvent{Connection: l.number, Code: cause.Code, Reason: cause.Reason, Remote: cause.Remote, Err: cause}
	closed := c.closing && s.err == nil
	if closed && !cause.Remote && cause.Err == nil {
		event.Err = c.cause
	}
	if c.link != l {
		return event
	}
	c.link = nil
	if !closed {
		c.history.disconnects.add(ending.count)
		c.blameBeat(cause)
	}
	c.event(s, func(ctx context.Context) { c.onClose.call(ctx, event, c.reporter(ctx)) })
	if c.quietFirst = false; !closed && cause.Remote && refuses(cause.Code) {
		cause.tried = c.refused(l, cause.Code)
		c.quietFirst = !cause.tried && time.Since(l.opened) < c.cfg.stableAfter
	}
	if !cause.tried {
		c.refusals = refusals{}
	}
	c.requests.lost(l, ending.lost)
	return event
}

// fail ends the session with a permanent error, unless Close or Shutdown was called. It
// blocks until the session is over.
func (s *session) fail(err error) {
	c := s.client
	refuse := fmt.Errorf("%w: %w", ErrClosed, err) // not with a mutex held: err may be the user's
	c.mu.Lock()
	if !s.hasRetired() {
		s.failNow(err, refuse, nil)
	}
	c.mu.Unlock()
	<-s.over
}

// begin begins the end of the session. It is called with the client's mutex held.
func (s *session) begin() {
	s.client.closing = true
	s.ends = time.Now().Add(s.client.cfg.drainTimeout).Add(closeTimeout) // the sum may be no Duration
}

// settle makes the session's last state change, to StateClosed or StateFailed, after the
// link has ended and the queue refuses messages. It is called with the client's mutex held.
func (s *session) settle(to State, err error) {
	c := s.client
	c.move(StateChange{To: to, Attempt: c.history.attempt, Err: err})
	s.last = c.inbox.Added()
	s.cutShort = s.graceful.Err() != nil // not later: cancel may end the context of Shutdown
	c.discard = s.cancel
	c.event(s, func(context.Context) { s.cancel() })
	close(s.over)
}

// gone is called when the session's goroutines have returned.
func (s *session) gone() {
	c := s.client
	c.mu.Lock()
	c.current = current{}
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

// Connection returns the number of the open connection, as in [Message]; 0: none is open. It does
// not block.
func (c *Client) Connection() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return 0
	}
	return c.link.number
}
