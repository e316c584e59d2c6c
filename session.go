package wechatws

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// A session is what one Connect or Run starts. One goroutine, run, owns it: it
// dials, reads, waits and dials again, and nobody else ever dials.
type session struct {
	client   *Client
	number   int
	schedule *schedule // used by run alone

	// ctx is given to callbacks and to the endpoint and login functions. It ends
	// when Close begins, or after the last event of a session that failed.
	ctx    context.Context
	cancel context.CancelFunc

	unwatch func()       // ends the watch of the network; nil: there is none
	reliefs atomic.Int32 // how often its goroutine was relieved

	opened chan struct{} // closed at the first open
	done   chan struct{} // closed when run has returned
	err    error         // why it ended, nil after Close; set before done
	left   error         // what Close hands back; set before done

	// Guarded by the client's mutex.
	link         *link                   // while open
	retry        context.CancelCauseFunc // ends the attempt under way, to make another one at once
	route        *dialRoute              // of that attempt
	wake         chan struct{}           // filled by tryNow, emptied when an attempt begins or by the wait that it ends
	forced       bool                    // Reconnect asks for an attempt even without a network
	network      NetworkStatus
	networkKnown bool  // from a change
	closing      bool  // Close has begun
	cause        error // why it is being closed; nil for Close itself
}

// errTryNow ends an attempt that is to be made again at once.
var errTryNow = errors.New("trying again at once")

// watchNetwork begins to watch the network. With a monitor that panics or cannot be
// stopped there counts as being a network: nothing might report its return.
func (s *session) watchNetwork() {
	m := s.client.cfg.network
	if m == nil {
		return
	}
	status := NetworkStatus{Connected: true, Type: networkUnknown}
	err := apart(func() error {
		if s.unwatch = m.Watch(s.networkChanged); s.unwatch == nil {
			return errNoStop
		}
		status = m.Status()
		return nil
	})
	if err != nil {
		s.client.reportLater(s, err)
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if !s.networkKnown { // otherwise there has been a change since
		s.network = status
	}
}

// unwatchNetwork ends the watch.
func (s *session) unwatchNetwork() {
	if s.unwatch == nil {
		return
	}
	if err := apart(func() error { s.unwatch(); return nil }); err != nil {
		s.client.reportLater(s, err)
	}
}

// run is the session's goroutine. It begins with a link, when it relieves another one
// that has been reading it; the number says which relief it is.
func (s *session) run(number int32, l *link) {
	if number == 0 {
		s.watchNetwork()
	}
	err := s.stayConnected(l)
	if s.reliefs.Load() == number {
		s.unwatchNetwork()
		s.finish(err)
		close(s.done)
	}
}

// stayConnected returns when the session is over: with a final error, or with
// anything once Close has begun.
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
			if err = l.read(); errors.Is(err, errRelieved) {
				return err
			}
			cause := l.end(err)
			err = apart(func() error { schedule.ended(time.Since(l.opened)); return nil })
			s.linkEnded(l, cause)
			l = nil
			if s.ctx.Err() != nil {
				return nil
			}
			if err != nil { // without a schedule there is no going on
				return errors.Join(err, cause)
			}
			if last = cause; errors.Is(last, ErrReconnect) {
				schedule.attempt++
				continue
			}
		case s.ctx.Err() != nil:
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
		var final bool
		err = apart(func() error { wait, final = schedule.next(last); return nil })
		if err != nil { // as above
			return errors.Join(err, last)
		}
		if final {
			return last
		}
		s.wait(schedule.attempt, wait, last)
	}
	return nil
}

// awaitNetwork waits until there is a network. It reports false when the session
// is over.
func (s *session) awaitNetwork(attempt int) bool {
	c := s.client
	for {
		c.mu.Lock()
		if s.ctx.Err() != nil {
			c.mu.Unlock()
			return false
		}
		if c.cfg.network == nil || s.network.Connected || s.forced {
			c.mu.Unlock()
			return true
		}
		if c.state != StateOffline {
			c.move(StateChange{To: StateOffline, Attempt: attempt})
		}
		c.mu.Unlock()
		select {
		case <-s.wake:
		case <-s.ctx.Done():
		}
	}
}

// wait spends the time until the next attempt, unless tryNow ends it, or was called
// already since the last attempt.
func (s *session) wait(attempt int, d time.Duration, cause error) {
	c := s.client
	c.mu.Lock()
	change := c.move(StateChange{To: StateWaiting, Attempt: attempt, RetryIn: d, Err: cause})
	c.mu.Unlock()
	trace(c, c.cfg.trace.Retry, change)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-s.ctx.Done():
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

// networkChanged is called by the network monitor. A change may make everything
// that is being waited for succeed now, and may have cut an open connection off
// without a word.
//
// An attempt goes on as long as its route is there: most changes concern other
// interfaces, and where they come faster than an attempt succeeds, as on a container
// host, a restart each time would keep the client from ever being open. How long the
// attempt has taken already makes no difference, or one that is slow for a good reason
// would never succeed there; each of its steps has a timeout. Should it fail, the next
// one follows at once.
func (s *session) networkChanged(status NetworkStatus) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != s { // a call that was under way when the watch was stopped
		return
	}
	before := s.network
	s.network, s.networkKnown = status, true
	c.dispatcher.event(func() { c.onNetworkChange.call(s.eventContext(), status, s.report) })
	if s.link != nil && !s.link.over() {
		s.link.heartbeat.probeNow()
		return
	}
	s.tryNow(s.retry != nil && (status.Connected != before.Connected || s.route.gone()))
}

// attemptApart is attempt on a goroutine of its own. Dialing takes a deep stack, which
// the session's goroutine would keep for as long as the connection lives.
func (s *session) attemptApart(number int, last error) (l *link, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l, err = s.attempt(number, last)
	}()
	<-done
	return l, err
}

// attempt makes one connection, up to where it is open. Its errors are *DialError, or
// errTryNow.
func (s *session) attempt(number int, last error) (*link, error) {
	c := s.client
	// It is not a child of s.ctx, which would keep a table for its children as long as
	// it lives; Close ends both.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(s.ctx))
	defer cancel(nil)
	c.mu.Lock()
	if s.closing {
		cancel(context.Canceled)
	}
	route := &dialRoute{}
	s.retry, s.route, s.forced = cancel, route, false
	select { // this is the attempt that tryNow asked for
	case <-s.wake:
	default:
	}
	c.stats.Attempts++
	c.move(StateChange{To: StateConnecting, Attempt: number})
	c.mu.Unlock()

	trace(c, c.cfg.trace.DialStart, DialStart{number})
	l, event, err := s.connect(ctx, route, number, last)
	if err == nil && s.open(ctx, l, event) {
		trace(c, c.cfg.trace.DialDone, DialDone{number, event.Timings, nil})
		trace(c, c.cfg.trace.Open, event)
		return l, nil
	}
	c.mu.Lock()
	s.retry, s.route = nil, nil // from here on tryNow is about the next attempt, and this one has failed
	c.mu.Unlock()
	cause := err
	if cause == nil {
		cause = context.Cause(ctx)
	}
	trace(c, c.cfg.trace.DialDone, DialDone{number, event.Timings, cause})
	if l != nil {
		l.end(err)
	}
	switch {
	case errors.Is(context.Cause(ctx), errTryNow):
		return nil, errTryNow
	case err == nil: // it came too late
		return nil, context.Cause(ctx)
	}
	return nil, err
}

// connect asks for the endpoint, dials, logs in and lets protocol layers settle
// what they must. With an error it may return a link, which has to be ended.
func (s *session) connect(ctx context.Context, route *dialRoute, number int, last error) (*link, OpenEvent, error) {
	cfg := &s.client.cfg
	var ep Endpoint
	err := withTimeout(ctx, cfg.dialTimeout, func(ctx context.Context) (err error) {
		ep, err = cfg.endpoint(ctx, number, last)
		return err
	})
	if err != nil {
		return nil, OpenEvent{}, &DialError{Phase: phaseEndpoint, Err: err, text: trimPrefix(err)}
	}
	if u, err := parseURL(ep.URL); err == nil && !cfg.fixed {
		s.client.mu.Lock()
		s.client.host = u.Host
		s.client.mu.Unlock()
	}
	dialCtx := ctx // not the one that the user's functions get: they may dial other hosts
	if cfg.network != nil {
		dialCtx = httptrace.WithClientTrace(ctx, route.trace())
	}
	got, event, err := cfg.dial(dialCtx, ep, cfg.compression && !s.client.uncompressed.Load(), &s.client.addresses)
	if err != nil {
		return nil, event, err
	}
	l := newLink(s, got)
	event.Attempt, event.Connection = number, l.number
	if err = s.login(ctx, l); err == nil {
		err = s.opening(ctx, l, number)
	}
	return l, event, err
}

// login writes the login message, before anybody else writes.
func (s *session) login(ctx context.Context, l *link) error {
	cfg := &s.client.cfg
	if cfg.login == nil {
		return nil
	}
	err := withTimeout(ctx, cfg.dialTimeout, func(ctx context.Context) error {
		v, err := cfg.login(ctx)
		if err != nil || v == nil {
			return err
		}
		m, err := encode(cfg.codec, v)
		if err != nil {
			return err
		}
		return l.until(ctx, func() error { return l.conn.Write(m.messageType(), m.Data) })
	})
	if err != nil {
		return &DialError{Phase: phaseLogin, Err: err, text: trimPrefix(err)}
	}
	return nil
}

// withTimeout runs one of the user's functions.
func withTimeout(ctx context.Context, d time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return apart(func() error { return fn(ctx) })
}

// open declares the link open, unless that has come too late. The queue is let go
// only now, behind the login, the opening and the open event.
func (s *session) open(ctx context.Context, l *link, event OpenEvent) bool {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	s.retry, s.route = nil, nil
	select { // there is nothing to try any more
	case <-s.wake:
	default:
	}
	s.link, l.opened = l, time.Now()
	c.stats.Opens++
	c.move(StateChange{To: StateOpen, Attempt: event.Attempt})
	c.dispatcher.event(func() { c.onOpen.call(s.eventContext(), event, s.report) })
	l.heartbeat.start()
	c.queue.attach(l)
	select {
	case <-s.opened:
	default:
		close(s.opened)
	}
	return true
}

// linkEnded tells everybody that the open link is gone.
func (s *session) linkEnded(l *link, cause *CloseError) {
	c := s.client
	event := CloseEvent{Connection: l.number, Code: cause.Code, Reason: cause.Reason, Remote: cause.Remote, Err: cause}
	c.mu.Lock()
	if s.closing && !cause.Remote && cause.Err == nil {
		event.Err = s.cause
	}
	s.link = nil
	if !s.closing {
		c.stats.Disconnects.count(cause)
	}
	c.dispatcher.event(func() { c.onClose.call(s.eventContext(), event, s.report) })
	if !s.closing && cause.Remote && cause.Code == StatusMessageTooBig {
		c.queue.refused(l)
	}
	c.mu.Unlock()
	trace(c, c.cfg.trace.Close, event)
	c.requests.lost(&c.queue, l, fmt.Errorf("%w: %w", ErrConnectionLost, cause))
}

// finish makes the session's last move.
func (s *session) finish(err error) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	last := StateChange{To: StateClosed, Attempt: c.attempt, Err: s.cause}
	refuse := ErrClosed
	if !s.closing {
		last.To, last.Err = StateFailed, err
		refuse = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	s.err = last.Err
	c.queue.accept(refuse)
	if s.closing {
		s.left = c.queue.takeBack(refuse)
	}
	c.requests.lost(&c.queue, nil, refuse)
	c.move(last)
	c.session = nil
	c.dispatcher.event(s.cancel)
}

// eventContext is the context for an event: unlike a message, an event is still
// told when Close has begun, to somebody who may have work to do about it.
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

// report is for errors met on the dispatcher.
func (s *session) report(err error) { s.client.report(s.eventContext(), err) }
