package wechatws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"time"
)

// attempt makes one attempt, and returns the open link. Its error is a *DialError; errTryNow
// if another attempt is to follow at once; or any value once the session has retired.
func (s *session) attempt(number int, last error) (*link, error) {
	c := s.client
	// It is not a child of s.ctx, which would retain a map of its children. Close ends both.
	ctx, cancel := context.WithCancelCause(context.WithValue(context.WithoutCancel(s.ctx), sessionKey{}, s))
	defer cancel(nil)
	c.mu.Lock()
	if s.hasRetired() {
		c.mu.Unlock()
		return nil, context.Canceled
	}
	c.retry, c.forced = cancel, false
	select { // this is the attempt that tryNow was called for
	case <-s.wake:
	default:
	}
	c.history.attempts++
	c.move(StateChange{To: StateConnecting, Attempt: number})
	c.mu.Unlock()
	s.dialed = time.Now()
	s.route.Begin()

	info := DialInfo{Attempt: number}
	if len(c.cfg.trace.dialStart) > 0 {
		info.Header = http.Header{}
	}
	ctx = traceStart(ctx, c, c.cfg.trace.dialStart, info)
	info.Header = info.Header.Clone() // a hook may have kept it
	l, event, err := s.connect(ctx, info, last)
	info.Connection, info.Timings = event.Connection, event.Timings
	if err == nil && s.open(ctx, l, event) {
		trace(ctx, c, c.cfg.trace.dialDone, info)
		trace(ctx, c, c.cfg.trace.open, event)
		l.stalls.Add(1)
		l.Resume()
		return l, nil
	}
	c.mu.Lock()
	c.retry = nil // tryNow concerns the next attempt from here on
	c.anew = c.anew && errors.Is(context.Cause(ctx), errTryNow)
	c.mu.Unlock()
	info.Err = notOpened(ctx, err)
	trace(ctx, c, c.cfg.trace.dialDone, info)
	if l != nil {
		l.end(err)
	}
	switch {
	case errors.Is(context.Cause(ctx), errTryNow) && !(l != nil && l.dismissed && isPermanent(err)):
		return nil, errTryNow
	case err == nil: // it was ended before it was open
		return nil, context.Cause(ctx)
	}
	return nil, err
}

// notOpened returns the error of an attempt for the trace hooks. It wraps ErrClosed or
// ErrReconnect if the client itself has ended the attempt.
func notOpened(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	why := ErrClosed
	if errors.Is(context.Cause(ctx), errTryNow) {
		why = ErrReconnect
	}
	if err == nil { // it was ended before it was open
		return why
	}
	return fmt.Errorf("%w: %w", why, err)
}

// connect calls the BeforeConnect and the endpoint functions, dials, logs in and calls the AfterConnect functions.
// With an error it may return a link, which the caller must end.
func (s *session) connect(ctx context.Context, info DialInfo, last error) (*link, OpenEvent, error) {
	cfg := s.client.cfg
	if err := s.callBefore(ctx, info.Attempt); err != nil {
		return nil, OpenEvent{}, err
	}
	var ep Endpoint
	began := time.Now()
	err := withTimeout(ctx, cfg.dialTimeout, func(ctx context.Context) (err error) {
		ep, err = cfg.endpoint(ctx, info.Attempt, last)
		return err
	})
	if err != nil {
		return nil, OpenEvent{}, &DialError{Phase: phaseEndpoint, Err: err, text: because(err)}
	}
	var asking time.Duration
	if !cfg.fixed {
		if len(cfg.urls) == 0 {
			asking = time.Since(began)
		}
		if u, err := parseURL(ep.URL); err == nil {
			s.client.mu.Lock()
			s.client.host = u.Host
			s.client.mu.Unlock()
		}
	}
	dialCtx := ctx // not for the user's functions, which may dial other hosts
	if cfg.network != nil {
		dialCtx = httptrace.WithClientTrace(ctx, s.route.Trace())
	}
	got, event, err := cfg.dial(dialCtx, ep, info.Header, cfg.compression && !s.client.uncompressed.Load(), &s.client.addresses)
	event.Timings.Endpoint = asking
	if err != nil {
		return nil, event, err
	}
	l := newLink(s, got)
	event.Attempt, event.Connection = info.Attempt, l.number
	if err = l.startUnpacking(); err == nil {
		event.Timings.Login, err = s.login(ctx, l)
	}
	if err == nil {
		event.Timings.Setup, err = s.setUp(ctx, l, info.Attempt)
	}
	if failed, ok := err.(*DialError); ok && l.dismissed { // whatever an AfterConnect function returns
		failed.Err, failed.text = l.why(), because(l.why())
	}
	return l, event, err
}

// login calls the login function and writes its message, the first one of the connection.
func (s *session) login(ctx context.Context, l *link) (took time.Duration, err error) {
	cfg := s.client.cfg
	if cfg.login == nil || l.moved { // another host must not receive it
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
		l.greeting.login = len(m.Data)
		return l.until(ctx, func() error { return l.writeAlone(&m) })
	})
	if err != nil {
		return 0, &DialError{Phase: phaseLogin, Err: err, text: because(err)}
	}
	return time.Since(began), nil
}

// open makes the state StateOpen and attaches l, after login and setup, and
// reports whether it did: ctx may have ended.
func (s *session) open(ctx context.Context, l *link, event OpenEvent) bool {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	c.retry, c.anew = nil, false
	select { // there is no next attempt that it could concern
	case <-s.wake:
	default:
	}
	c.link, c.lastOpen, l.opened = l, l.number, time.Now()
	c.history.opens++
	c.move(StateChange{To: StateOpen, Attempt: event.Attempt})
	c.event(s, func(ctx context.Context) { c.onOpen.call(ctx, event, c.reporter(ctx)) })
	l.stalled.Store(true) // until the trace functions have returned
	l.heartbeat.start()
	l.attach()
	if !isClosed(s.opened) {
		close(s.opened)
	}
	return true
}

// withTimeout calls a user's function with a context that ends after d.
func withTimeout(ctx context.Context, d time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return users.Apart(func() error { return fn(ctx) })
}
