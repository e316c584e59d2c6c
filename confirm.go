package wechatws

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// defaultConfirmTimeout is the default of ConfirmTimeout.
const defaultConfirmTimeout = 10 * time.Second

// SendConfirmed sends v, which may be anything that [Client.Send] takes, until it is
// confirmed, and returns the confirmation: the first message that arrives, with or without a
// type, for which match returns true, such as a reply or the echo of a comment. It sends v
// again on the next connection when this one ends, and after each [ConfirmTimeout]. Unlike
// Send it thus covers messages that the socket has taken and the peer has never read.
//
// The message is delivered at least once, so the peer must accept duplicates. Concurrent
// calls send one after the other, in the order of the calls: each waits until those before
// it are confirmed or have returned. They count towards the bounds of [WithQueue], beyond
// which the error is [ErrQueueFull], whatever the policy. match is called on the caller's
// goroutine, one message at a time; if it panics, v is not sent again.
//
// SendConfirmed blocks until the confirmation, or until ctx ends, the cause of which it
// returns; give ctx a deadline. It returns [ErrClosed] when the client is closed, and
// [Client.Close] hands the message back then; ErrClosed wrapping the permanent error when
// the client fails; [ErrExpired] after [ExpireAfter]; and a [*DroppedError] if the peer
// refuses the message, see [ErrMessageTooBig]. In a callback, give it the context of the
// callback: it returns [ErrInboxFull] as [Client.Request] does. It may be called from any
// goroutine.
func (c *Client) SendConfirmed(ctx context.Context, v any, match func(Message) bool, options ...ConfirmOption) (Message, error) {
	if match == nil {
		return Message{}, &OptionError{Option: "SendConfirmed", Value: "nil", Want: "match must be a function"}
	}
	if err := needContext(ctx, "SendConfirmed"); err != nil {
		return Message{}, err
	}
	options = append([]ConfirmOption{ConfirmTimeout(defaultConfirmTimeout)}, options...)
	out, err := newOutgoing(c, "SendConfirmed", v, options)
	if err != nil {
		return Message{}, err
	}
	if d := out.confirmTimeout; d <= 0 {
		return Message{}, &OptionError{Option: "SendConfirmed: ConfirmTimeout", Value: d.String(), Want: "must be longer than zero"}
	} else if lacksUnit(d) {
		return Message{}, &OptionError{Option: "SendConfirmed: ConfirmTimeout", Value: d.String(), Want: needsUnit}
	}
	if !out.expires.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, out.expires, ErrExpired)
		defer cancel()
	}
	if err := c.queue.addUnconfirmed(ctx, out); err != nil {
		return Message{}, err
	}
	defer c.queue.removeUnconfirmed(out)
	callback := c.insideCallback(ctx)
	if err := c.awaitTurn(ctx, out, callback); err != nil {
		return Message{}, err
	}
	for {
		answer, err := c.try(ctx, out, match, callback)
		if !errors.Is(err, errTryAgain) && !errors.Is(err, ErrConnectionLost) {
			return answer, err
		}
	}
}

// errTryAgain ends a try that is not confirmed in time.
var errTryAgain = errors.New("not confirmed in time")

// awaitTurn blocks until all calls before this one are confirmed or have returned. In a
// callback it returns ErrInboxFull when the inbox is full, as newRequest does: the messages
// that confirm them could not be read.
func (c *Client) awaitTurn(ctx context.Context, m *outgoing, callback bool) error {
	if !callback {
		return c.queue.turn(ctx, m)
	}
	r, err := c.newRequest(ctx, &outgoing{}, true)
	if err != nil {
		return err
	}
	defer c.requests.remove(r)
	c.handOffReader()
	return c.queue.turn(r.ctx, m)
}

// try sends a message once and waits for its confirmation. It returns errTryAgain or
// ErrConnectionLost when the message is to be sent again.
func (c *Client) try(ctx context.Context, m *outgoing, match func(Message) bool, callback bool) (Message, error) {
	sent := &outgoing{Outbound: m.Outbound, of: m}
	sent.expires = time.Time{} // the deadline is in ctx
	r, err := c.newRequest(ctx, sent, callback)
	if err != nil {
		return Message{}, err
	}
	defer c.requests.remove(r)
	if err := c.queue.push(r.ctx, sent); err != nil {
		return Message{}, err
	}
	defer c.queue.withdraw(sent)
	for wait := m.confirmTimeout; wait > 0; wait = c.queue.timeLeft(sent, m.confirmTimeout) {
		answer, err := r.waitFor(ctx, wait, c, match)
		if !errors.Is(err, errTryAgain) {
			return answer, err
		}
	}
	return Message{}, errTryAgain
}

// waitFor is wait for at most d, after which it returns errTryAgain.
func (r *request) waitFor(ctx context.Context, d time.Duration, c *Client, match func(Message) bool) (Message, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errTryAgain)
	defer cancel() // also when match panics
	return r.wait(ctx, c, match)
}

// addUnconfirmed adds a message to those that wait for their confirmation or their turn.
// They are in a line of their own; only a copy of the first one, made for each try, is in
// the queue.
func (q *queue) addUnconfirmed(ctx context.Context, m *outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := q.unconfirmed.n, q.unconfirmedBytes
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case q.refuse != nil:
		return q.refuse
	case n > 0 && (n >= q.cfg.queueMessages || bytes+len(m.Data) > q.cfg.queueBytes):
		return fmt.Errorf("%w: %d messages, %d bytes wait for their confirmation", ErrQueueFull, n, bytes)
	}
	q.seq++
	m.seq, m.size = q.seq, len(m.Data)
	q.unconfirmed.pushBack(m)
	q.unconfirmedBytes += m.size
	return nil
}

// removeUnconfirmed removes m, unless Close has taken it.
func (q *queue) removeUnconfirmed(m *outgoing) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.waits {
		q.unconfirmed.remove(m)
		q.unconfirmedBytes -= m.size
		q.endTrial(m)
		q.change()
	}
}

// turn blocks until m is the first of the unconfirmed messages.
func (q *queue) turn(ctx context.Context, m *outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := func() bool { return q.unconfirmed.first == m }
	err := q.await(ctx, func() bool { return m.gone || q.refuse != nil || first() })
	switch {
	case m.gone:
		return m.err
	case q.refuse != nil:
		return q.refuse
	}
	return err
}

// timeLeft returns for how long a try that was waited for is to be waited for still: the
// timeout counts from when the message was written.
func (q *queue) timeLeft(m *outgoing, timeout time.Duration) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !m.gone {
		return timeout
	}
	return time.Until(m.written.Add(timeout))
}

// close refuses messages from now on with ErrClosed, and keeps the unconfirmed ones for
// takeBack. Their calls of SendConfirmed return, and withdraw the copies.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = ErrClosed
	for m := q.unconfirmed.first; m != nil; m = q.unconfirmed.first {
		q.unconfirmed.remove(m)
		m.gone, m.err = true, ErrClosed
		q.endTrial(m)
		q.atClose = append(q.atClose, m)
	}
	q.unconfirmedBytes = 0
	q.change()
}
