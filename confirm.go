package wechatws

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// defaultConfirmTimeout is how long SendConfirmed waits for a confirmation.
const defaultConfirmTimeout = 10 * time.Second

// SendConfirmed sends v, which may be anything that [Client.Send] takes, and waits for the
// message that confirms it, such as the echo of a comment or a reply. It sends v again
// until match recognises that message among all that arrive: on the next connection when
// this one ends, and after a timeout (see [ConfirmTimeout]). Unlike Send it also covers
// what the socket has taken and the peer has never read.
//
// The message is delivered at least once, so the peer must accept it twice. Several
// SendConfirmed send in the order of the calls, one after the other is confirmed or given
// up; behind one that is never confirmed the others wait. They count towards the bounds of
// [WithQueue], beyond which the error is [ErrQueueFull], whatever the policy. match runs on
// the caller's goroutine, which a panic in it reaches; v is not sent again then.
//
// SendConfirmed returns the cause of ctx's end; give it a deadline. It returns [ErrClosed]
// when the client is closed, and then the message is among those that [Client.Close] hands
// back; ErrClosed with the cause when the client fails; [ErrExpired] after [ExpireAfter]; a
// [*DroppedError] if the peer refuses the message (see [ErrMessageTooBig]); and, in a
// callback, whose context it must get, [ErrInboxFull] as [Client.Request] does.
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
	r := newRequest(ctx, &outgoing{}, true)
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
	sent := &outgoing{Outbound: m.Outbound, of: m}
	sent.expires = time.Time{} // that of m ends ctx
	r := newRequest(ctx, sent, callback)
	c.requests.add(r)
	defer c.requests.remove(r)
	if r.callback && c.dispatcher.isFull() {
		return Message{}, ErrInboxFull
	}
	if err := c.queue.push(r.ctx, sent); err != nil {
		return Message{}, err
	}
	defer c.queue.takeOut(sent)
	for wait := m.confirmTimeout; wait > 0; wait = c.queue.patience(sent, m.confirmTimeout) {
		answer, err := r.waitFor(ctx, wait, c, match)
		if !errors.Is(err, errTryAgain) {
			return answer, err
		}
	}
	return Message{}, errTryAgain
}

// waitFor is wait for a time, after which it returns errTryAgain.
func (r *request) waitFor(ctx context.Context, d time.Duration, c *Client, match func(Message) bool) (Message, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errTryAgain)
	defer cancel() // also when match panics
	return r.wait(ctx, c, match)
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
