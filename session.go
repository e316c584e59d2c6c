package wechatws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

	// ctx is given to callbacks and to the endpoint and login functions. It ends when Close
	// begins, or after the last event of a session that failed or was shut down.
	ctx    context.Context
	cancel context.CancelFunc

	// patience ends when nothing is to be waited for any more: Close and Shutdown go on
	// as CloseNow does.
	patience context.Context
	cut      context.CancelFunc

	unwatch func()       // ends the watch of the network; nil: there is none
	reliefs atomic.Int32 // how often its goroutine was relieved

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

// run is the session's goroutine. It begins with a link, when it relieves another one
// that has been reading it; the number says which relief it is.
func (s *session) run(number int32, l *link) {
	if number == 0 {
		s.watchNetwork()
	}
	err := s.stayConnected(l)
	if s.reliefs.Load() == number {
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
			if err = l.read(); errors.Is(err, errRelieved) {
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

// awaitNetwork waits until there is a network. It reports false when the session
// is over.
func (s *session) awaitNetwork(attempt int) bool {
	c := s.client
	for {
		c.mu.Lock()
		if s.retired {
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
		case <-s.quit:
		}
	}
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
	if s.closing { // a call that was under way when the watch was stopped
		return
	}
	before := s.network
	s.network, s.networkKnown = status, true
	c.dispatcher.event(s, func(ctx context.Context) { c.onNetworkChange.call(ctx, status, c.reporter(ctx)) })
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
	ctx, cancel := context.WithCancelCause(context.WithValue(context.WithoutCancel(s.ctx), sessionKey{}, s))
	defer cancel(nil)
	c.mu.Lock()
	if s.retired {
		c.mu.Unlock()
		return nil, context.Canceled
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

	info := DialInfo{Attempt: number}
	if len(c.cfg.trace.dialStart) > 0 {
		info.Header = http.Header{}
	}
	ctx = traceStart(ctx, c, c.cfg.trace.dialStart, info)
	info.Header = info.Header.Clone() // a hook may have kept it
	l, event, err := s.connect(ctx, route, info, last)
	info.Connection, info.Timings = event.Connection, event.Timings
	if err == nil && s.open(ctx, l, event) {
		trace(ctx, c, c.cfg.trace.dialDone, info)
		trace(ctx, c, c.cfg.trace.open, event)
		return l, nil
	}
	c.mu.Lock()
	s.retry, s.route = nil, nil // from here on tryNow is about the next attempt, and this one has failed
	c.mu.Unlock()
	info.Err = notOpened(ctx, err)
	trace(ctx, c, c.cfg.trace.dialDone, info)
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

// notOpened is the error for the traces of an attempt that opened no connection. It says
// whether the client itself has ended the attempt.
func notOpened(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	why := ErrClosed
	if errors.Is(context.Cause(ctx), errTryNow) {
		why = ErrReconnect
	}
	if err == nil { // it came too late
		return why
	}
	return fmt.Errorf("%w: %w", why, err)
}

// connect asks for the endpoint, dials, logs in and lets protocol layers settle
// what they must. With an error it may return a link, which has to be ended.
func (s *session) connect(ctx context.Context, route *dialRoute, info DialInfo, last error) (*link, OpenEvent, error) {
	cfg := &s.client.cfg
	var ep Endpoint
	began := time.Now()
	err := withTimeout(ctx, cfg.dialTimeout, func(ctx context.Context) (err error) {
		ep, err = cfg.endpoint(ctx, info.Attempt, last)
		return err
	})
	if err != nil {
		return nil, OpenEvent{}, &DialError{Phase: phaseEndpoint, Err: err, text: trimPrefix(err)}
	}
	var asking time.Duration
	if !cfg.fixed {
		asking = time.Since(began)
		if u, err := parseURL(ep.URL); err == nil {
			s.client.mu.Lock()
			s.client.host = u.Host
			s.client.mu.Unlock()
		}
	}
	dialCtx := ctx // not the one that the user's functions get: they may dial other hosts
	if cfg.network != nil {
		dialCtx = httptrace.WithClientTrace(ctx, route.trace())
	}
	got, event, err := cfg.dial(dialCtx, ep, info.Header, cfg.compression && !s.client.uncompressed.Load(), &s.client.addresses)
	event.Timings.Endpoint = asking
	if err != nil {
		return nil, event, err
	}
	l := newLink(s, got)
	event.Attempt, event.Connection = info.Attempt, l.number
	if event.Timings.Login, err = s.login(ctx, l); err == nil {
		event.Timings.Setup, err = s.opening(ctx, l, info.Attempt)
	}
	return l, event, err
}

// login writes the login message, before anybody else writes.
func (s *session) login(ctx context.Context, l *link) (took time.Duration, err error) {
	cfg := &s.client.cfg
	if cfg.login == nil {
		return 0, nil
	}
	began := time.Now()
	err = withTimeout(ctx, cfg.dialTimeout, func(ctx context.Context) error {
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
		return 0, &DialError{Phase: phaseLogin, Err: err, text: trimPrefix(err)}
	}
	return time.Since(began), nil
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
	c.dispatcher.event(s, func(ctx context.Context) { c.onOpen.call(ctx, event, c.reporter(ctx)) })
	l.heartbeat.start()
	c.queue.attach(l)
	select {
	case <-s.opened:
	default:
		close(s.opened)
	}
	return true
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
