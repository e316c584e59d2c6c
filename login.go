package wechatws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
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
	c.stats.Attempts++
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
	case errors.Is(context.Cause(ctx), errTryNow):
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

// connect calls the endpoint function, dials, logs in and calls the AfterConnect functions.
// With an error it may return a link, which the caller must end.
func (s *session) connect(ctx context.Context, info DialInfo, last error) (*link, OpenEvent, error) {
	cfg := &s.client.cfg
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
	if event.Timings.Login, err = s.login(ctx, l); err == nil {
		event.Timings.Setup, err = s.setUp(ctx, l, info.Attempt)
	}
	return l, event, err
}

// login calls the login function and writes its message, the first one of the connection.
func (s *session) login(ctx context.Context, l *link) (took time.Duration, err error) {
	cfg := &s.client.cfg
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
	c.stats.Opens++
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

// A Setup is a connection that is logged in and not open yet, in a function of
// [Client.AfterConnect]. Only that function may call its methods, one at a time and before
// it returns; after that they return an error.
type Setup struct {
	// Connection is the number of the connection, as in [Message].
	Connection int
	// Attempt is the number of the attempt, as in [StateChange].
	Attempt int

	link *link
	err  error // of the first function that failed; used on the attempt's goroutine only

	turn  chan struct{}   // filled while the fields below are used: a method may block for long
	ctx   context.Context // of the function that runs; nil: none
	batch *batch          // received last; nil: none
	next  int             // index in it of the message that Receive returns next
	count int             // messages received
	bytes int             // of these

	skipped error // the first *ReadLimitError
}

// errSetupOver is the error of a Setup's methods after its function has returned.
var errSetupOver = errors.New("wechatws: Setup is used after its AfterConnect function has returned")

// AfterConnect registers fn, which is called on every new connection after the login and
// before the connection is open. It is for what a protocol requires before anything else is
// sent: joining a room, subscribing, waiting for admission. If fn returns nil, the
// connection is open. An error, or the end of the timeout, makes it a failed attempt, with a
// [*DialError] of phase "setup", which is permanent if the error is marked with [Permanent].
// Several functions are called in the order of registration, each with its own timeout.
//
// fn is called on the goroutine of the attempt, not on that of the callbacks, so a slow
// callback does not delay it. The messages that it receives reach the callbacks too, after
// [Client.OnOpen]; those of a failed attempt reach none, but [Client.OnError] receives the first
// [*ReadLimitError]. While fn runs, no heartbeat is sent and the queue waits, so fn must not wait
// for [Client.Flush], [Client.Request] or [Client.SendConfirmed]. The context of fn ends with the timeout, with [Client.Close], and
// when the attempt is restarted, by [Client.Reconnect] or because its network is gone; that also
// ends the connection, and with it methods of the Setup that were called with another context.
//
// AfterConnect may be called at any time; it has no effect on the current connection, and
// remove none on a call under way. A nil fn or a timeout that is not above zero is an
// [*OptionError], reported to [Client.OnError] and returned by the next Connect.
func (c *Client) AfterConnect(timeout time.Duration, fn func(ctx context.Context, o *Setup) error) (remove func()) {
	switch {
	case fn == nil:
		return c.badCallback("AfterConnect", "")
	case timeout <= 0:
		return c.misuse(&OptionError{Option: "AfterConnect", Value: timeout.String(), Want: "the timeout must be longer than zero"})
	case lacksUnit(timeout):
		return c.misuse(&OptionError{Option: "AfterConnect", Value: timeout.String(), Want: "the timeout " + needsUnit})
	}
	return c.afterConnect.Add(func(ctx context.Context, o *Setup) {
		if o.err != nil {
			return
		}
		cause := fmt.Errorf("not done within %v: %w", timeout, context.DeadlineExceeded)
		ctx, cancel := context.WithTimeoutCause(ctx, timeout, cause)
		defer cancel()
		o.enter(ctx)
		if o.err = users.Apart(func() error { return fn(ctx, o) }); o.err != nil {
			cancel()
		}
		o.leave()
	})
}

// enter begins a function, with its context.
func (o *Setup) enter(ctx context.Context) {
	o.turn <- struct{}{}
	o.ctx = ctx
	<-o.turn
}

// leave ends it. It waits for a method that runs on another goroutine, which the end of the
// function's context ends.
func (o *Setup) leave() {
	o.turn <- struct{}{}
	o.ctx = nil
	<-o.turn
}

// take begins a method, which must empty turn, unless it returns an error.
func (o *Setup) take(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if o.ctx == nil {
		<-o.turn
		return errSetupOver
	}
	return nil
}

// until is [link.until] with both contexts: that of a method, and that of the function, which may
// not be derived from it.
func (o *Setup) until(ctx context.Context, do func() error) error {
	return o.link.until(o.ctx, func() error { return o.link.until(ctx, do) })
}

// setUp calls the AfterConnect functions, on the goroutine of the attempt, and returns how
// long they took.
func (s *session) setUp(ctx context.Context, l *link, attempt int) (took time.Duration, err error) {
	o := &Setup{Connection: l.number, Attempt: attempt, link: l, turn: make(chan struct{}, 1)}
	if callbacks := s.client.afterConnect.All(); len(callbacks) > 0 {
		began := time.Now()
		callAll(ctx, callbacks, o, func(err error) { o.err = err })
		took = time.Since(began)
	}
	if o.err == nil && isClosed(l.dead) { // fn has ignored the error
		o.err = l.why()
	}
	if o.err != nil {
		if o.skipped != nil { // fn may have waited for that message
			s.client.reportLater(s, o.skipped)
		}
		return 0, &DialError{Phase: phaseSetup, Err: o.err, text: because(o.err)}
	}
	return took, nil
}

// Send writes v, which may be anything that [Client.Send] takes, before all messages in the
// queue. It blocks until the socket has taken it. When ctx ends, it ends the connection and
// returns the cause.
func (o *Setup) Send(ctx context.Context, v any) error {
	if err := needContext(ctx, "Setup.Send"); err != nil {
		return err
	}
	m, err := encode(o.link.client.cfg.codec, v)
	if err != nil {
		return err
	}
	if err := o.take(ctx); err != nil {
		return err
	}
	defer func() { <-o.turn }()
	o.link.greeting.messages++
	o.link.greeting.bytes += len(m.Data)
	return o.until(ctx, func() error { return o.link.writeAlone(&m) })
}

// Receive returns the next message, with or without a type; text that is not valid UTF-8, and a
// message above the read limit ([WithReadLimit]), are skipped. It blocks until there is one. When ctx ends, it ends the connection and returns
// the cause. It returns a [*CloseError] when the connection has ended, and an error when
// more messages have arrived than the inbox holds: 1,024 of them, or 4 MiB.
func (o *Setup) Receive(ctx context.Context) (Message, error) {
	if err := needContext(ctx, "Setup.Receive"); err != nil {
		return Message{}, err
	}
	if err := o.take(ctx); err != nil {
		return Message{}, err
	}
	defer func() { <-o.turn }()
	l := o.link
	for {
		if o.count >= inboxMessages || o.bytes >= inboxBytes {
			return Message{}, fmt.Errorf("wechatws: the connection is not open after %d messages of %d bytes", o.count, o.bytes)
		}
		if o.batch == nil || o.next == len(o.batch.Messages) {
			err := o.until(ctx, func() (err error) {
				if o.batch, err = l.batchOf(l.conn.Receive()); err != nil {
					err = l.closeError(err)
				}
				return err
			})
			if err != nil {
				return Message{}, err
			}
			l.early = append(l.early, o.batch)
			o.next = 0
		}
		m, _, err := o.batch.read(o.next)
		switch {
		case err == nil || errors.Is(err, ErrNoType):
			o.batch.take(o.next)
		case o.batch.Skipped > 0 && o.skipped == nil:
			o.skipped = err
		}
		o.next++
		o.count++
		o.bytes += len(m.Data)
		if o.batch.isUsable(err) {
			return m.own(), nil
		}
	}
}

// HoldQueue holds the messages in the queue back until the connection has been open for d;
// by default they are written at once. It is for servers that need some time between their
// answer and the first message. Messages are received and heartbeats are sent meanwhile. If
// the connection ends before, the messages wait for the next one. If d outlasts the drain
// timeout ([WithDrainTimeout]), [Client.Close] hands them back. The longest d of several calls
// counts. HoldQueue does not block.
func (o *Setup) HoldQueue(d time.Duration) {
	if o.take(context.Background()) == nil {
		o.link.hold = max(o.link.hold, d)
		<-o.turn
	}
}

// writeAlone writes one message of a link that is not open yet. It blocks until the socket has
// taken the message, or the link has ended. A peer that refuses the message ends the connection
// while it is written: then writeAlone returns the *CloseError of its close frame.
func (l *link) writeAlone(m *Outbound) error {
	err := l.writeOne(m)
	if err == nil || isClosed(l.dead) {
		return err
	}
	grace := time.AfterFunc(readGrace, func() { l.fail(&CloseError{Code: StatusAbnormalClosure, Err: err}) })
	defer grace.Stop()
	for {
		b, readErr := l.batchOf(l.conn.Receive())
		if readErr == nil {
			b.release()
		} else if end := l.closeError(readErr); end.Remote && end.Code != StatusAbnormalClosure {
			return end
		} else {
			return err
		}
	}
}

// writeOne is the write of writeAlone.
func (l *link) writeOne(m *Outbound) error {
	w := &l.writer
	w.mu.Lock()
	_ = w.await(context.Background(), func() bool { return !w.writing.Load() })
	ok := !w.over && l.becomeWriter()
	w.mu.Unlock()
	if !ok {
		return net.ErrClosed
	}
	defer l.helpers.Done()
	defer l.writerEnded()
	if err := l.writeMessage(m); err != nil {
		return err
	}
	return l.conn.Flush()
}

// A greeting is what was written to a link before it is open.
type greeting struct {
	login           int // its size in bytes
	messages, bytes int // of AfterConnect functions
}

func (g greeting) any() bool { return g != greeting{} }

func (g greeting) String() string {
	var parts []string
	if g.login > 0 {
		parts = append(parts, "the login of "+count(g.login, "byte"))
	}
	if g.messages > 0 {
		parts = append(parts, fmt.Sprintf("%s of AfterConnect (%s)", count(g.messages, "message"), count(g.bytes, "byte")))
	}
	return strings.Join(parts, " and ")
}
