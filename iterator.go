package wechatws

import (
	"context"
	"fmt"
	"iter"
)

// Messages returns an iterator over all messages that [Client.OnMessage] is called with, for
// a loop instead of callbacks:
//
//	for m, err := range client.Messages(ctx) {
//		if err != nil {
//			log.Print(err) // why the loop ends, also when ctx has ended
//			break
//		}
//		…
//	}
//
// Nothing happens before the loop begins. From then on its body is like an OnMessage
// callback: while it handles one message, all other callbacks wait, and so does
// [Client.Shutdown]. Begin the loop before [Client.Connect] to miss no message. The iterator
// may be used again, and by several loops at a time, each of which gets every message.
//
// The loop ends with one pair of an empty [Message] and an error: the cause of ctx's end;
// [ErrClosed] when the client is closed; or ErrClosed wrapping the permanent error when it
// has failed, behind the messages that had arrived before.
//
// Every method of the client may be called in the loop, whose goroutine the client does not
// know. So give a [Client.Request] there a deadline, since its answer cannot be read while
// the inbox is full of messages that wait for the loop; and leave the loop before Shutdown,
// which otherwise waits for the loop until its own context ends. A loop in a callback of the
// same client gets no message, and ends with ctx.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if err := needContext(ctx, "Messages"); err != nil {
			yield(Message{}, err)
			return
		}
		l := &loop{
			ctx:      ctx,
			messages: make(chan Message),
			handled:  make(chan struct{}, 1),
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
	handled  chan struct{} // filled when the body has handled the message that hand waits for
	busy     bool          // the body handles such a message; the loop's goroutine's own
	over     chan struct{} // closed by the callback for the session's last state change
	why      error         // the error of the end; set before over is closed
	left     chan struct{} // closed when the loop has ended
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

// hand is the callback that passes m to the loop. It blocks until the body has handled m, or
// the contexts of callbacks end: it may be the body that has called Close.
func (l *loop) hand(ctx context.Context, m Message) {
	if l.ctx.Err() != nil {
		return
	}
	select {
	case l.messages <- m:
	case <-l.left:
		return
	case <-l.ctx.Done():
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-l.handled:
	case <-l.left:
	case <-l.ctx.Done():
	case <-ctx.Done():
	}
}

// next blocks until there is a message, or the loop ends.
func (l *loop) next() (Message, error) {
	if l.busy {
		l.busy = false
		l.handled <- struct{}{}
	}
	select {
	case m := <-l.messages:
		select { // hand did not wait for the message before
		case <-l.handled:
		default:
		}
		l.busy = true
		return m, nil
	case <-l.ctx.Done():
		return Message{}, context.Cause(l.ctx)
	case <-l.over:
		return Message{}, l.why
	}
}
