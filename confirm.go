package wechatws

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// defaultConfirmTimeout is how long SendConfirmed waits for a confirmation.
const defaultConfirmTimeout = 10 * time.Second

// SendConfirmed sends v and waits for the message that confirms it: the echo of
// one's own comment, or a reply. Until match recognises it among all that arrive, v
// is sent again: on the next connection when this one ends, and after a timeout
// (see ConfirmTimeout). It closes the hole that Send has: what a socket has taken and
// the peer has never read.
//
// The message is delivered at least once, so that the peer must not mind a second
// one. Messages of several SendConfirmed are sent in the order of the calls, one
// after the other is confirmed or given up; behind one that is never confirmed the
// others wait. They count towards the bounds of WithQueue, and ErrQueueFull is
// returned beyond them whatever the policy. match runs on the caller's goroutine.
//
// SendConfirmed gives up with the cause when ctx ends; give it a deadline. It
// returns ErrClosed when the client is closed, and then the message is among those
// that Close hands back; ErrClosed with the cause when the client fails; ErrExpired
// with ExpireAfter; a *DroppedError when the peer refuses the message (see
// ErrMessageTooBig); [ErrInboxFull] in a callback, whose context it must get, as Request does. FailFast means
// nothing to it.
func (c *Client) SendConfirmed(ctx context.Context, v any, match func(Message) bool, options ...SendOption) (Message, error) {
	if match == nil {
		return Message{}, &OptionError{Option: "SendConfirmed", Value: "nil", Want: "match must be a function"}
	}
	m, err := encode(c.cfg.codec, v)
	if err != nil {
		return Message{}, err
	}
	out, err := newOutgoing("SendConfirmed", m, v, options)
	switch {
	case err != nil:
		return Message{}, err
	case out.confirmTimeout < 0:
		return Message{}, &OptionError{Option: "ConfirmTimeout", Value: out.confirmTimeout.String(), Want: "must be longer than zero"}
	case out.confirmTimeout == 0:
		out.confirmTimeout = defaultConfirmTimeout
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

var errTryAgain = errors.New("not confirmed in time")

// awaitTurn waits until all that came before are confirmed or given up. Inside a callback
// a full inbox ends the wait as it ends that for a confirmation, or the reader would wait
// for the callback, and the callback for what only the reader can bring about.
func (c *Client) awaitTurn(ctx context.Context, m *outgoing, callback bool) error {
	if !callback {
		return c.queue.turn(ctx, m)
	}
	r := newRequest(ctx, m.Outbound, true)
	c.requests.add(r)
	defer c.requests.remove(r)
	if c.dispatcher.isFull() {
		return ErrInboxFull
	}
	c.relieveReader()
	return c.queue.turn(r.ctx, m)
}

// try sends a message once, and waits for its confirmation until it is time for
// another try.
func (c *Client) try(ctx context.Context, m *outgoing, match func(Message) bool, callback bool) (Message, error) {
	r := newRequest(ctx, m.Outbound, callback)
	r.sent.late, r.sent.value, r.sent.of = m.late, m.value, m
	c.requests.add(r)
	defer c.requests.remove(r)
	if r.callback && c.dispatcher.isFull() {
		return Message{}, ErrInboxFull
	}
	if err := c.queue.push(r.ctx, r.sent); err != nil {
		return Message{}, err
	}
	defer c.queue.takeOut(r.sent)
	for wait := m.confirmTimeout; wait > 0; wait = c.queue.patience(r.sent, m.confirmTimeout) {
		waiting, cancel := context.WithTimeoutCause(ctx, wait, errTryAgain)
		answer, err := r.wait(waiting, c, match)
		cancel()
		if !errors.Is(err, errTryAgain) {
			return answer, err
		}
	}
	return Message{}, errTryAgain
}

// addUnconfirmed puts a message behind those that wait for their confirmation or
// their turn. They are in a list of their own; only the first one is in the queue,
// as a copy for each try.
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

// turn waits until all that came before are confirmed or given up.
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

// patience is how long a try that timed out has left: all of it as long as the
// message has not been written.
func (q *queue) patience(m *outgoing, timeout time.Duration) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !m.gone {
		return timeout
	}
	return time.Until(m.written.Add(timeout))
}

// close refuses messages from now on, and keeps those that are not confirmed for
// takeBack: their callers are about to return, and take the copies out of the
// queue.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = ErrClosed
	for m := q.unconfirmed.first; m != nil; m = q.unconfirmed.first {
		q.unconfirmed.remove(m)
		m.gone, m.err = true, ErrClosed
		q.endTrial(m)
		q.given = append(q.given, m)
	}
	q.unconfirmedBytes = 0
	q.change()
}
