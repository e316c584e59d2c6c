package wechatws

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// Messages returns an iterator over all messages that [Client.OnMessage] is called with, for
// a loop instead of callbacks:
//
//	for m, err := range client.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// Nothing happens before the loop begins. From then on its body is like an OnMessage
// callback: while it handles one message, the others wait. Begin the loop before
// [Client.Connect] to miss none. The iterator may be used again, and by several loops at a
// time, each of which gets every message.
//
// The loop ends with one pair of an empty [Message] and an error: the cause of ctx's end;
// [ErrClosed] when the client is closed; or ErrClosed wrapping the permanent error when it
// has failed. Messages that had arrived before come first.
//
// Every method of the client may be called in the loop. Give a [Client.Request] there a
// deadline, since its answer cannot be read while the inbox is full of messages that wait
// for the loop. A loop in a callback of the same client gets no message, and ends with ctx.
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
	over     chan struct{} // closed by the callback for the session's last state change
	why      error         // the error of the end; set before over is closed
	left     chan struct{} // closed when the loop has ended

	mu   sync.Mutex // guards late
	late []Message  // messages for which the callback has not waited
}

// join registers the loop's callbacks; leave removes them.
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

// hand is the callback that passes m to the loop. It blocks until the loop takes m, but not
// while the client ends, since the loop itself may be ending it.
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

// next blocks until there is a message, or the loop ends.
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
