package wechatws

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// Messages returns all messages that [Client.OnMessage] is called with as an iterator, for
// a loop instead of callbacks:
//
//	for m, err := range client.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// Nothing happens before the loop begins. From then on it is like an OnMessage callback
// whose body is the loop's: while that works on one message the others wait. Begin it
// before [Client.Connect] to miss nothing. It may be ranged over again, and by several
// loops at a time, each of which gets every message.
//
// The loop ends with one pair of an empty Message and the error that says why: the cause of
// ctx's end; [ErrClosed] when the client is closed; or ErrClosed wrapping the permanent
// error when it has failed. What had arrived before is handed out first. Without a break
// the loop body sees exactly one error.
//
// Every method of the client may be called from inside the loop; give a [Client.Request]
// there a deadline, since its answer cannot be read while more messages than the inbox
// holds wait for the loop. A loop in a callback of the same client gets no message, and
// ends with ctx.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if err := needContext(ctx, "Messages"); err != nil {
			yield(Message{}, err)
			return
		}
		l := &loop{
			ctx:      ctx,
			messages: make(chan Message),
			over:     make(chan struct{}),
			left:     make(chan struct{}),
		}
		defer close(l.left)
		defer l.join(c)()
		for {
			m, err := l.next()
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// A loop is one range over Messages.
type loop struct {
	ctx      context.Context
	messages chan Message
	over     chan struct{} // closed when the session's end has been dispatched
	why      error         // set before over
	left     chan struct{} // closed when the loop has been left

	mu   sync.Mutex
	late []Message // that callbacks no longer wait to hand over
}

// join registers the loop's callbacks, and returns what removes them.
func (l *loop) join(c *Client) (leave func()) {
	c.mu.Lock()
	number, ended := c.sessions+1, c.state.terminal()
	if s := c.session; s != nil {
		number, ended = s.number, s.isOver()
	}
	c.mu.Unlock()
	if ended {
		l.why = c.queue.refusal()
		close(l.over)
	}
	removeState := c.onStateChange.Add(func(_ context.Context, change StateChange) {
		if ended || !change.To.terminal() || change.session < number {
			return
		}
		ended, l.why = true, ErrClosed
		if change.To == StateFailed {
			l.why = fmt.Errorf("%w: %w", ErrClosed, change.Err)
		}
		close(l.over)
	})
	removeMessage := c.onMessage.Add(owned(l.hand))
	return func() {
		removeState()
		removeMessage()
	}
}

// hand hands m over to the loop. It waits for that, except when the client ends: then
// nothing may wait for the loop, which may be the one that ends it.
func (l *loop) hand(ctx context.Context, m Message) {
	quit := deliveryOf(ctx).session.quit
	select {
	case <-l.ctx.Done():
		return
	case <-quit:
	default:
		select {
		case l.messages <- m:
			return
		case <-l.left:
			return
		case <-l.ctx.Done():
		case <-quit:
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = append(l.late, m)
}

// next waits for a message, or for the end.
func (l *loop) next() (Message, error) {
	var err error
	select {
	case m := <-l.messages:
		return m, nil
	case <-l.ctx.Done():
		err = context.Cause(l.ctx)
	case <-l.over:
		err = l.why
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.late) == 0 {
		return Message{}, err
	}
	m := l.late[0]
	l.late = l.late[1:]
	return m, nil
}
