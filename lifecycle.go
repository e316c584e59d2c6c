package wechatws

import (
	"context"
	"errors"
)

// Connect connects, and returns nil at the first open connection, with the login
// written. From then on the client stays connected until [Client.Close] or
// [Client.Shutdown]. Between attempts it follows the schedule, so that Connect returns an
// error only when that is permanent, or when ctx ends, which closes the client: then the
// error is the cause of that, joined with the *[UndeliveredError] of what is left. ctx is
// not used after Connect returns, but callbacks see its values.
//
// It returns [ErrAlreadyConnected] while the client is connected or connecting, and
// [ErrClosed] when Close ended it. After Close or a failure it starts afresh, with the same
// callbacks; a queue left by a failure is delivered. It waits until all functions that the
// session before still runs have returned, such as an endpoint function that takes its time,
// for as long as ctx lasts. Called by one of these, with its context, it returns
// ErrAlreadyConnected.
//
// It mirrors the original's initWebSocket, which did nothing when it was "already
// logged in".
func (c *Client) Connect(ctx context.Context) error {
	s, err := c.start(ctx, "Connect")
	if err != nil {
		return err
	}
	select {
	case <-s.opened:
		return nil
	case <-s.over:
	case <-ctx.Done():
	}
	select {
	case <-s.opened:
		return nil
	case <-s.over:
		if s.err == nil {
			return ErrClosed
		}
		c.awaitCallbacks(ctx, s)
		return s.err
	default:
	}
	s.cancel()
	return errors.Join(context.Cause(ctx), c.end(s, StatusGoingAway, "", context.Cause(ctx)))
}

// Run connects, stays connected, and returns when that is over. The error is nil when ctx
// has ended, or [Client.Close], [Client.CloseNow] or [Client.Shutdown] was called, and
// nothing accepted is left; the *[UndeliveredError] when something is, also when Close has
// returned it; or the permanent error of a client that has failed. It suits an errgroup.
//
// When ctx ends Run does what Close does, with code 1001. In each case it then waits for
// the callbacks that are still to run, but for no longer than the drain timeout and 2 s
// after the end began. It returns [ErrAlreadyConnected] as [Client.Connect] does.
func (c *Client) Run(ctx context.Context) error {
	s, err := c.start(ctx, "Run")
	if err != nil {
		return err
	}
	select {
	case <-s.over:
	case <-ctx.Done():
		s.cancel()
		_ = c.end(s, StatusGoingAway, "", context.Cause(ctx)) // outcome has it
	}
	c.awaitCallbacks(context.WithoutCancel(ctx), s)
	return s.outcome()
}

// awaitCallbacks waits for the callbacks of s, which is over, but for no longer than Close
// may take.
func (c *Client) awaitCallbacks(ctx context.Context, s *session) {
	defer excuse(ctx)()
	ctx, cancel := context.WithDeadline(ctx, s.ends)
	defer cancel()
	_ = c.dispatcher.wait(ctx, s.last)
}

// start begins a session.
func (c *Client) start(ctx context.Context, verb string) (*session, error) {
	if err := needContext(ctx, verb); err != nil {
		return nil, err
	}
	var schedule *schedule
	if err := apart(func() (err error) { schedule, err = newSchedule(&c.cfg); return err }); err != nil {
		return nil, err
	}
	for {
		c.mu.Lock()
		if errs := c.misuses; len(errs) > 0 {
			c.misuses = nil
			c.mu.Unlock()
			return nil, errors.Join(errs...)
		}
		old := c.session
		if old == nil {
			break
		}
		closing := old.closing
		c.mu.Unlock()
		if !closing || ctx.Value(sessionKey{}) == old {
			return nil, ErrAlreadyConnected
		}
		select {
		case <-old.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c.sessions++
	s := &session{
		client:   c,
		number:   c.sessions,
		schedule: schedule,
		opened:   make(chan struct{}),
		quit:     make(chan struct{}),
		over:     make(chan struct{}),
		done:     make(chan struct{}),
		wake:     make(chan struct{}, 1),
	}
	// The functions of this session are not those of the client whose function may have
	// called Connect.
	ctx = context.WithValue(context.WithoutCancel(&userContext{Context: ctx, session: s}), deliveryKey{}, (*delivery)(nil))
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.patience, s.cut = context.WithCancel(context.Background())
	c.session = s
	select {
	case <-c.done:
		c.done = make(chan struct{})
	default:
	}
	c.queue.accept(nil)
	go s.run(0, nil)
	return s, nil
}

// Close is the manual close: it ends the connection with a code and a reason of at most
// 123 bytes, and no reconnect follows, until [Client.Connect] or [Client.Run]. What is
// queued is written first, for no longer than the drain timeout; the *[UndeliveredError]
// has what is left. Messages that arrive from now on reach no callback.
//
// Close takes no longer than the drain timeout (see [WithDrainTimeout]) and a close
// handshake of 2 s, wherever it is called: it never waits for callbacks or for any other
// function of the user's. It ends the context of a callback that runs, and dispatches the
// last events; [Client.Done] is closed when all of them have returned, and
// [Client.Shutdown] waits for them. When Close returns the state is [StateClosed] and
// nothing is written any more.
//
// Close works in every state, and may be called any number of times and from any
// goroutine. Of several calls at a time one returns what is left. An *[OptionError] about
// the code or the reason means that nothing was done.
//
// It mirrors the original's closeWebSocket. Unlike in wx it also ends a
// connection that is not open yet.
func (c *Client) Close(code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	s, left := c.running()
	if s == nil {
		return left
	}
	s.cancel()
	return c.end(s, code, reason, nil)
}

// CloseNow is [Client.Close] without draining the queue and without a close handshake: the
// connection ends at once, nothing more is written to it, and the peer sees what it would
// see if the process had died. It cuts short a Close or [Client.Shutdown] under way. It
// does not block.
func (c *Client) CloseNow() error {
	s, left := c.running()
	if s == nil {
		return left
	}
	s.cut()
	s.cancel()
	return c.end(s, StatusAbnormalClosure, "", nil)
}

// Shutdown is the graceful end. No reconnect follows from now on, and messages that arrive
// reach no callback; answers that [Client.Request] and [Client.SendConfirmed] wait for do
// reach these. Callbacks that run, or for which a message had arrived before, finish, and
// may send. Then the queue is written and confirmed, the connection is closed with code
// 1000, for which the peer has 2 s, and the callbacks for the last events run. Without an
// open connection, what is queued is handed back.
//
// Shutdown blocks until all that is done, and then returns nil; or until ctx ends: it goes
// on as [Client.CloseNow] does then, and returns the cause of that, joined with the
// *[UndeliveredError] of what is left. The error is what is left alone when CloseNow cut
// it short, or when there was no connection.
//
// To call Shutdown in a callback, give it the callback's context, or one made from it: it
// does not wait for that callback then, nor does any other Shutdown meanwhile, of another
// client too. Without that context it waits for the callback until ctx ends.
func (c *Client) Shutdown(ctx context.Context) error {
	if err := needContext(ctx, "Shutdown"); err != nil {
		return err
	}
	defer excuse(ctx)()
	s, left := c.running()
	if s == nil {
		return errors.Join(c.dispatcher.wait(ctx, c.dispatcher.now()), left)
	}
	defer context.AfterFunc(ctx, s.cut)()
	defer context.AfterFunc(s.patience, s.cancel)()
	c.mu.Lock()
	s.retire()
	l := s.link
	c.mu.Unlock()
	c.dispatcher.wake() // the reader waits for room no more
	if l != nil {
		l.relieve()
	}
	_ = c.dispatcher.wait(s.patience, c.dispatcher.now())
	if l != nil {
		c.queue.finish(s.patience, l)
	}
	_ = c.end(s, StatusNormalClosure, "", nil)
	cut := s.patience.Err() != nil
	if c.dispatcher.wait(s.patience, s.last) != nil || cut {
		return errors.Join(context.Cause(ctx), s.left) // without the first when CloseNow was it
	}
	return s.left
}

// Done returns a channel that is closed when the client has been closed or has failed, and
// all its goroutines are gone: those that run callbacks and other functions of the user's
// too. After another [Client.Connect] or [Client.Run] there is a new channel.
func (c *Client) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// ended closes done when nothing runs any more.
func (c *Client) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil || !c.state.terminal() || !c.dispatcher.isIdle() {
		return
	}
	select {
	case <-c.done:
	default:
		close(c.done)
	}
}

// running returns the session, unless it is over: then it does what Close has to do
// without one, and returns what was left.
func (c *Client) running() (s *session, left error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.session; s != nil && !s.isOver() {
		return s, nil
	}
	c.queue.close()
	left = c.queue.takeBack(ErrClosed)
	if c.state != StateClosed {
		c.move(StateChange{To: StateClosed})
	}
	return nil, left
}

// end closes a session, whose callers have ended the context of its callbacks, unless they
// are graceful. The first call of it closes the link and returns what is left; all
// others wait for that. It does not wait for any function of the user's, and needs no
// goroutine that may be in one.
func (c *Client) end(s *session, code StatusCode, reason string, cause error) (left error) {
	c.mu.Lock()
	first := !s.closing
	if first {
		s.begin()
		s.cause = cause
		s.retire()
		c.queue.close()
	}
	l, opening := s.link, c.newest
	c.mu.Unlock()
	if !first {
		<-s.over
		return nil
	}
	if l != nil {
		l.relieve()
		c.dispatcher.wake()
		c.requests.lost(&c.queue, nil, ErrClosed)
		drain, cancel := context.WithTimeout(s.patience, c.cfg.drainTimeout)
		c.queue.drain(drain, l)
		cancel()
		l.close(s.patience, code, reason)
	} else if opening != nil && opening.session == s {
		opening.fail(&CloseError{Code: code, Reason: reason})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l != nil {
		s.detach(l, l.why())
	}
	s.settle(StateClosed, s.cause)
	return s.left
}
