package wechatws

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
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
// which the error is [ErrQueueFull], whatever the policy. match is called as that of
// [Client.Request] is. If it panics, v is not sent again.
//
// SendConfirmed blocks until the confirmation, or until ctx ends, the cause of which it
// returns; give ctx a deadline. It returns [ErrClosed] when the client is closed, and
// [Client.Close] hands the message back then; ErrClosed wrapping the permanent error when
// the client fails; [ErrExpired] after [ExpireAfter]; and a [*DroppedError] if the peer
// refuses the message, see [ErrRefused]. In a callback, give it the context of the
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
	d := out.Value.confirmTimeout
	if d <= 0 {
		return Message{}, &OptionError{Option: "SendConfirmed: ConfirmTimeout", Value: d.String(), Want: "must be longer than zero"}
	} else if lacksUnit(d) {
		return Message{}, &OptionError{Option: "SendConfirmed: ConfirmTimeout", Value: d.String(), Want: needsUnit}
	}
	if !out.Expires.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, out.Expires, ErrExpired)
		defer cancel()
	}
	call := &confirmation{message: out.Value.Outbound, timeout: d, turn: make(chan struct{}), place: c.outbox.Place()}
	call.match = match
	if err := c.beginRequest(ctx, &call.request); err != nil {
		return Message{}, err
	}
	defer call.end()
	defer c.waits(ctx)()
	if err := c.confirmations.add(ctx, call, c.cfg); err != nil {
		return Message{}, err
	}
	defer c.endConfirmation(call)
	c.handOffReader()
	select {
	case <-call.turn:
		for !c.try(ctx, call) {
		}
	case <-call.wake:
	case <-ctx.Done():
		call.fail(context.Cause(ctx))
	}
	return call.end()
}

// try sends the message of a call once and waits for its confirmation. It returns false when
// the message is to be sent again, true when the call has its result.
func (c *Client) try(ctx context.Context, call *confirmation) bool {
	m := &queued{Size: len(call.message.Data), Kept: true, Alone: call.message.late}
	m.Value.Outbound, m.Value.of, m.Value.request = call.message, call, &call.request
	if !c.confirmations.begin(call, m) {
		return true
	}
	defer c.outbox.Withdraw(m)
	if err := c.push(ctx, m); err != nil {
		call.fail(err)
		return true
	}
	timeout := time.NewTimer(call.timeout)
	defer timeout.Stop()
	for {
		timedOut := !c.await(ctx, &call.request, timeout.C)
		over, lost, written := call.state()
		switch {
		case over || lost:
			return over
		case !timedOut:
		case written.IsZero():
			timeout.Reset(call.timeout)
		default: // the timeout counts from when the peer has the message
			left := time.Until(written.Add(call.timeout))
			if left <= 0 && !call.onItsWay() {
				return false
			} else if left <= 0 {
				left = call.timeout
			}
			timeout.Reset(left)
		}
	}
}

// A confirmation is a call of SendConfirmed. Its request is the same for all tries.
type confirmation struct {
	request
	message Outbound
	timeout time.Duration
	place   uint64        // in the order of the outbox
	turn    chan struct{} // closed when all calls before this one have ended
	suspect atomic.Bool   // the peer may have refused it, see refused.go

	// The confirmation is a node of confirmations, the mutex of which guards the fields below.
	try     *queued       // the last one
	element *list.Element // in calls; nil: it has ended
}

// confirmations are the calls of SendConfirmed that wait for their confirmation or their turn.
type confirmations struct {
	mu     sync.Mutex // guards the fields below, and those of the calls in the list
	calls  list.List  // of *confirmation; the first one sends
	bytes  int
	refuse error           // no call is added, with this error; nil: calls are
	back   []*confirmation // ended by Close, and not handed back yet
	empty  chan struct{}   // closed when there are no calls any more; nil: nothing waits for that
}

// add adds a call.
func (cs *confirmations) add(ctx context.Context, call *confirmation, cfg *config) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	n, size := cs.calls.Len(), len(call.message.Data)
	switch {
	case cs.refuse != nil:
		return cs.refuse
	case n > 0 && (n >= cfg.queueMessages || size > cfg.queueBytes-cs.bytes):
		return fmt.Errorf("%w: %d messages, %d bytes wait for their confirmation", ErrQueueFull, n, cs.bytes)
	case n == 0:
		close(call.turn)
	}
	call.element = cs.calls.PushBack(call)
	cs.bytes += size
	return nil
}

// first returns the call that sends, or nil.
func (cs *confirmations) first() *confirmation {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if first := cs.calls.Front(); first != nil {
		return first.Value.(*confirmation)
	}
	return nil
}

// begin records the next try of a call, and returns false if the call has ended.
func (cs *confirmations) begin(call *confirmation, try *queued) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if call.element == nil {
		return false
	}
	call.try = try
	call.again()
	return true
}

// remove removes a call, unless it has ended. It is called with mu held.
func (cs *confirmations) remove(call *confirmation) {
	if call.element == nil {
		return
	}
	cs.calls.Remove(call.element)
	call.element = nil
	cs.bytes -= len(call.message.Data)
	switch first := cs.calls.Front(); {
	case first == nil:
		if cs.empty != nil {
			close(cs.empty)
			cs.empty = nil
		}
	case !isClosed(first.Value.(*confirmation).turn):
		close(first.Value.(*confirmation).turn)
	}
}

// endConfirmation is called when a call returns.
func (c *Client) endConfirmation(call *confirmation) {
	c.confirmations.mu.Lock()
	c.confirmations.remove(call)
	c.confirmations.mu.Unlock()
	if l := c.attached.Load(); l != nil {
		l.endTrial(call)
	}
}

// endConfirmations ends all calls with err, and refuses more. None of them is written from
// now on. If back is true, those that are not confirmed are kept for takeBack.
func (c *Client) endConfirmations(err error, back bool) {
	cs := &c.confirmations
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.refuse = err
	for e := cs.calls.Front(); e != nil; e = cs.calls.Front() {
		call := e.Value.(*confirmation)
		if call.fail(err) && back {
			cs.back = append(cs.back, call)
		}
		if call.try != nil {
			c.outbox.Withdraw(call.try)
		}
		cs.remove(call)
	}
}

// takeBack returns the calls that Close has ended, in order.
func (cs *confirmations) takeBack() []*confirmation {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	back := cs.back
	cs.back = nil
	return back
}

// accept accepts calls from now on, or refuses them with err unless that is nil.
func (cs *confirmations) accept(err error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.refuse = err
}

// wait blocks until there are no calls any more, until l has ended, or until ctx ends.
func (cs *confirmations) wait(ctx context.Context, l *link) {
	cs.mu.Lock()
	if cs.calls.Len() == 0 {
		cs.mu.Unlock()
		return
	}
	if cs.empty == nil {
		cs.empty = make(chan struct{})
	}
	empty := cs.empty
	cs.mu.Unlock()
	select {
	case <-empty:
	case <-l.dead:
	case <-ctx.Done():
	}
}
