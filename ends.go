package wechatws

import (
	"context"
	"errors"
	"fmt"
)

// Fail ends the client in [StateFailed] with err, as a permanent error does: nothing is dialed any
// more, and [Client.Run], or a [Client.Connect] that waits, returns err. Use it for what only the
// application can recognize, such as a message that this account has logged in elsewhere. What was
// queued stays in the queue, for the next Connect or for [Client.Close], which hands it back. An open
// connection ends as by [Client.Disconnect], which may send a close code.
//
// Fail does not block, does not wait for callbacks, and may be called from any goroutine, in any
// callback and in any other function that the client calls. Callbacks of messages that had arrived
// before still run. Called in the callback of a message, it comes before the next attempt although the
// peer has closed the connection meanwhile, as [WithRetryIf] says. Before the first Connect the client
// fails, too, and a later Connect starts anew. Fail has no effect on a client that has ended, or that
// [Client.Close] or [Client.Shutdown] is ending. If err is nil, the client fails with an
// [*OptionError] that says so.
func (c *Client) Fail(err error) {
	if err == nil {
		err = &OptionError{Option: "Fail", Value: "nil", Want: "err must be an error"}
	}
	err = users.Protect(func() error { return err })
	refuse := fmt.Errorf("%w: %w", ErrClosed, err)
	end := sendable(endFor(err))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s := c.session; {
	case s != nil && !s.hasRetired():
		s.failNow(err, refuse, end)
	case s == nil && c.history.state == StateIdle:
		c.refuse(refuse, false)
		c.move(StateChange{To: StateFailed, Err: err})
	}
}

// Disconnect ends a connection that is open, or on which the [Client.AfterConnect] functions run; the
// next attempt follows by the schedule. Use it when only the application can recognize that the peer
// does not work any more. connection is the number of the connection in [Message], [OpenEvent] and
// [Setup], so that a callback ends only the connection that its message came from; cause becomes the
// Err of [CloseEvent] and [StateChange], and must not be nil.
//
// The connection ends without a close handshake, as the client ends a half-open one. If cause is or
// wraps a [*CloseError] with a Code other than 0, [StatusNoStatusRcvd] and [StatusAbnormalClosure],
// the peer receives a close frame with that code and Reason instead, behind the message that is being
// written, and has 2 s for its answer. A CloseError that came from a peer is not sent on.
//
// With a cause that is or wraps [ErrReconnect] the next attempt follows at once, as after
// [Client.Reconnect], which may meet another connection than the one that a message came from.
//
// A cause that is marked with [Permanent] ends the client, as [Client.Fail] does, also if that
// connection has just ended and there is no newer one that is open.
//
// Disconnect does not block, and may be called from any goroutine. It returns [ErrNotOpen] if it has
// no effect, and an [*OptionError] for a nil cause, and for a code or a reason that must not be sent.
func (c *Client) Disconnect(connection int, cause error) error {
	if cause == nil {
		return &OptionError{Option: "Disconnect", Value: "nil", Want: "cause must be an error"}
	}
	cause = users.Protect(func() error { return cause })
	end := endFor(cause)
	if err := checkClose("Disconnect", end.Code, end.Reason); err != nil && end.Code != StatusAbnormalClosure {
		return err
	}
	permanent, refuse := isPermanent(cause), fmt.Errorf("%w: %w", ErrClosed, end)
	c.mu.Lock()
	defer c.mu.Unlock()
	s, l := c.session, c.link
	if s == nil || s.hasRetired() {
		return ErrNotOpen
	}
	ended := l == nil && c.lastOpen == connection
	if l == nil {
		l = c.newest
	}
	switch live := l != nil && l.number == connection; {
	case permanent && (live || ended):
		s.failNow(end, refuse, end)
	case live:
		l.endSoon(end)
	default:
		return ErrNotOpen
	}
	return nil
}

// endFor returns the end of a connection that the program ends because of cause: with the code and
// the reason of a *CloseError in it, unless that came from a peer.
func endFor(cause error) *CloseError {
	end := &CloseError{Code: StatusAbnormalClosure, Err: cause, requested: true}
	if ce := (*CloseError)(nil); errors.As(cause, &ce) && !ce.Remote && ce.Code != 0 && ce.Code != StatusNoStatusRcvd {
		end.Code, end.Reason = ce.Code, ce.Reason
	}
	return end
}

// sendable returns end without a code or a reason that must not be sent.
func sendable(end *CloseError) *CloseError {
	if checkClose("", end.Code, end.Reason) != nil {
		end.Code, end.Reason = StatusAbnormalClosure, "" // no close frame
	}
	return end
}

// endSoon ends the link with a close handshake if cause has a code that can be sent, and otherwise
// at once. It does not block, and the link's end waits for it. It may be called with the client's
// mutex held.
func (l *link) endSoon(cause *CloseError) {
	if cause.Code == StatusAbnormalClosure {
		l.fail(cause)
		return
	}
	l.blame(cause) // not what ends the link meanwhile
	if l.enter() {
		go func() {
			defer l.helpers.Done()
			l.close(l.session.graceful, cause)
		}()
	}
}

// failNow ends the session with a permanent error, and its link with the given cause. refuse is the
// error of calls from now on. It does not block; it is called with the client's mutex held.
func (s *session) failNow(err, refuse error, end *CloseError) {
	c := s.client
	s.retire()
	s.begin()
	s.err = err
	c.refuse(refuse, false)
	switch {
	case c.link != nil:
		go s.failOpen(c.link, end)
		return
	case c.newest != nil:
		c.newest.endSoon(end)
	}
	s.settle(StateFailed, err)
}

// failOpen ends the open link of a session that fails, and then the session. Like Client.end it does
// not wait for a function of the user.
func (s *session) failOpen(l *link, end *CloseError) {
	c := s.client
	l.reader.HandOff()
	c.inbox.Wake() // the reader does not wait for room any more
	l.endSoon(end)
	<-l.dead
	ending := l.over()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.detach(l, ending)
	s.settle(StateFailed, s.err)
}

// over waits until the writer of the link, which has ended, has settled its batch, and returns what
// follows from the end. It does not wait for a function of the user.
func (l *link) over() ending {
	patience := l.session.graceful
	if l.isOwn() {
		patience = context.Background() // a write to a closed socket ends
	}
	writing, cancel := context.WithDeadline(patience, l.session.ends)
	defer cancel()
	l.awaitWriter(writing)
	l.abandon()
	return endingOf(l.why())
}

// running returns the session that is not over. If there is none, it closes the client
// itself and returns the *UndeliveredError of what is left. It ends every Connect and Run
// that waits for a session to be done.
func (c *Client) running() (s *session, left error) {
	c.mu.Lock()
	close(c.closed)
	c.closed = make(chan struct{})
	if s := c.session; s != nil && !s.isOver() {
		c.mu.Unlock()
		return s, nil
	}
	c.refuse(ErrClosed, true)
	if c.history.state != StateClosed {
		c.notEnded()
		c.move(StateChange{To: StateClosed})
	}
	c.mu.Unlock()
	return nil, c.takeBack(ErrClosed)
}

// discardCallbacks ends the context of callbacks of a session that has ended: after a failure they
// receive what had arrived, and one of them may wait for the end of its context.
func (c *Client) discardCallbacks() {
	c.mu.Lock()
	discard := c.discard
	c.mu.Unlock()
	if discard != nil {
		discard()
	}
}

// endOrClose is end for the calls that close the client: one that fails meanwhile is closed after that.
func (c *Client) endOrClose(s *session, code StatusCode, reason string) (left error) {
	left = c.end(s, code, reason, nil)
	if s.err != nil {
		_, left = c.running()
	}
	return left
}

// end closes the session. The first call closes the link and returns the *UndeliveredError
// of what is left; all other calls wait for the first one and return nil. It does not wait
// for a user's function, nor for a goroutine that may be in one. Its callers end the
// context of the callbacks, except Shutdown.
func (c *Client) end(s *session, code StatusCode, reason string, cause error) (left error) {
	c.mu.Lock()
	first := c.session == s && !c.closing
	if first {
		s.begin()
		c.cause = cause
		s.retire()
		c.refuse(ErrClosed, true)
	}
	l, newest := c.link, c.newest
	c.mu.Unlock()
	if !first {
		<-s.over
		return nil
	}
	if l != nil {
		l.reader.HandOff()
		c.inbox.Wake()
		drain, cancel := context.WithTimeout(s.graceful, c.cfg.drainTimeout)
		_ = c.outbox.Flush(drain)
		cancel()
		l.close(s.graceful, &CloseError{Code: code, Reason: reason})
	} else if newest != nil {
		newest.fail(&CloseError{Code: code, Reason: reason})
	}
	var ending ending
	if l != nil {
		ending = l.over()
	}
	left = c.takeBack(ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	if l != nil {
		s.detach(l, ending)
	}
	s.left = left
	s.settle(StateClosed, cause)
	return left
}
