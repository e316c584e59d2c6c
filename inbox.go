package wechatws

import (
	"context"
	"fmt"
	"iter"

	"github.com/wechatws/wechatws/internal/callbacks"
	"github.com/wechatws/wechatws/internal/serial"
)

// The bounds of the inbox. When one is reached, the reader goroutine waits until half of the
// inbox is free, so that back-pressure reaches the peer through TCP. The inbox belongs to the
// client rather than to a session, so that callbacks run one at a time also when one of them
// closes and reconnects the client.
const (
	inboxMessages = 1024
	inboxBytes    = 4 << 20
)

// hooks are the callbacks for one kind of event.
type hooks[T any] struct{ callbacks.List[T] }

// call calls all callbacks with v. A panic in one of them is passed to failed, and the others
// are still called. They are also called if one of them calls runtime.Goexit: then while the
// goroutine ends.
func (h *hooks[T]) call(ctx context.Context, v T, failed func(error)) {
	callAll(ctx, h.All(), v, failed)
}

func callAll[T any](ctx context.Context, list []*callbacks.Callback[T], v T, failed func(error)) {
	for i, one := range list {
		goOn := func(err error) {
			defer callAll(ctx, list[i+1:], v, failed) // also if failed calls runtime.Goexit
			failed(err)
		}
		if err := users.Guard(func() error { one.Call(ctx, v); return nil }, goOn); err != nil {
			goOn(err)
			return
		}
	}
}

// A delivery is the context of the callbacks of one item of the inbox. By it
// [Client.Shutdown] and [Client.Request] recognize that they are called in one of them.
type delivery struct {
	context.Context
	inbox *serial.Queue
	item  int64 // its number
}

// deliveryKey is the key of the delivery in contexts derived from it.
type deliveryKey struct{}

// Value implements [context.Context].
func (d *delivery) Value(key any) any {
	if key == (deliveryKey{}) {
		return d
	}
	return d.Context.Value(key)
}

// deliveryOf returns the delivery that ctx is derived from; nil: none.
func deliveryOf(ctx context.Context) *delivery {
	d, _ := ctx.Value(deliveryKey{}).(*delivery)
	return d
}

// insideCallback reports whether ctx is the context of the callback of this client that runs
// now, or is derived from it.
func (c *Client) insideCallback(ctx context.Context) bool {
	d := deliveryOf(ctx)
	return d != nil && d.inbox == c.inbox && d.inbox.IsRunning(d.item)
}

// exempt exempts the callback that ctx is derived from, if any, from all waits for callbacks
// until end is called. The caller is about to wait for callbacks itself, and two callbacks
// that wait for each other would deadlock.
func exempt(ctx context.Context) (end func()) {
	d := deliveryOf(ctx)
	if d == nil {
		return func() {}
	}
	return d.inbox.Exempt(d.item)
}

// An event is an item of the inbox without messages.
type event struct {
	serial.Node
	client  *Client
	session *session              // nil: before the first Connect
	fn      func(context.Context) // nil: it was called
}

// event makes fn run after all items before it, with the context for events of s. It does
// not block.
func (c *Client) event(s *session, fn func(context.Context)) {
	c.inbox.Add(&event{client: c, session: s, fn: fn})
}

// Run implements [serial.Item].
func (e *event) Run(item int64) {
	if fn := e.fn; fn != nil {
		e.fn = nil // it is not called again if it calls runtime.Goexit
		fn(&delivery{e.session.eventContext(), e.client.inbox, item})
	}
}

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
// [Client.Shutdown]. A message that arrives before the loop begins is not passed to it: where none
// may be missed, register [Client.OnMessage] before [Client.Connect] instead. The iterator may be
// used again, and by several loops at a time, each of which gets every message.
//
// The loop ends with one pair of an empty [Message] and an error: the cause of ctx's end;
// [ErrClosed] when the client is closed; or ErrClosed wrapping the permanent error when it
// has failed. After a failure and [Client.Shutdown] it is behind the messages that had arrived
// before; [Client.Close] discards those.
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
			turn:     make(chan struct{}, 1),
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
	turn     chan struct{} // filled by the callback that hands a message over: see WithParallel
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
	number, ended := c.sessions+1, c.history.state.terminal()
	if s := c.session; s != nil {
		number, ended = s.number, s.isOver()
	}
	c.mu.Unlock()
	if ended {
		l.why = c.outbox.Refusal()
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
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-l.left:
		return
	case <-l.ctx.Done():
		return
	case <-ctx.Done():
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
