package wechatws

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// requestBacklog is how many messages may wait for one Request to match them.
const requestBacklog = 64

// A request is a call of [Client.Request], or one try of [Client.SendConfirmed], that waits
// for its answer. The reader gives it every message that arrives, so that it also works in a
// callback, while the dispatcher is busy with that callback. match is called on the
// caller's goroutine.
type request struct {
	sent     *outgoing
	callback bool          // made in a callback
	in       chan inbound  // from the reader
	done     chan struct{} // closed when the call returns

	// accepted is set when the queue has accepted the message. Before that the caller
	// waits for room in the queue or for its turn, and matches no message.
	accepted atomic.Bool

	ctx    context.Context // for these waits; ends when over is closed
	cancel context.CancelCauseFunc

	once sync.Once
	over chan struct{} // closed when no answer will arrive
	err  error         // the reason; set before over is closed
}

// newRequest registers a request, which the caller must remove. With the inbox full, in a
// callback, it returns ErrInboxFull and registers nothing: the reader would wait for that
// callback, which would wait for the reader.
func (c *Client) newRequest(ctx context.Context, m *outgoing, callback bool) (*request, error) {
	r := &request{
		sent:     m,
		callback: callback,
		in:       make(chan inbound, requestBacklog),
		done:     make(chan struct{}),
		over:     make(chan struct{}),
	}
	m.request = r
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	c.requests.add(r) // before isFull, or inboxFull could miss it
	if callback && c.dispatcher.isFull() {
		c.requests.remove(r)
		return nil, ErrInboxFull
	}
	return r, nil
}

// Request sends v as [Client.Send] does, and returns the answer: the first message that
// arrives from then on, with or without a type, for which match returns true. It blocks
// until then, or until ctx ends. The answer reaches the callbacks as well; it is not an
// error if none of them takes it. match is called on the caller's goroutine, one message
// at a time; it must not wait for another message.
//
// In a callback, give Request the context of the callback, or one derived from it. It does
// not wait for the callback then, and returns [ErrInboxFull] if the answer cannot be read
// because the inbox is full. With any other context it blocks until that ends in this case.
//
// Request returns the errors of Send; [ErrQueueFull] if [QueueDropOldest] drops the message;
// [ErrExpired] if it is not written within its [ExpireAfter]; a [*DroppedError] if the peer
// refuses it, see [ErrMessageTooBig]; [ErrConnectionLost] if the connection ends after the
// message was written; [ErrClosed] if the client is closed or fails; or the cause of ctx's end.
// [Client.OnError] is not called for it. A message that is still in the queue when Request
// returns is not sent. Request may be called from any goroutine.
func (c *Client) Request(ctx context.Context, v any, match func(Message) bool, options ...SendOption) (Message, error) {
	if match == nil {
		return Message{}, &OptionError{Option: "Request", Value: "nil", Want: "match must be a function"}
	}
	if err := needContext(ctx, "Request"); err != nil {
		return Message{}, err
	}
	out, err := newOutgoing(c, "Request", v, options)
	if err != nil {
		return Message{}, err
	}
	r, err := c.newRequest(ctx, out, c.insideCallback(ctx))
	if err != nil {
		return Message{}, err
	}
	defer c.requests.remove(r)
	if err := c.queue.push(r.ctx, out); err != nil {
		return Message{}, err
	}
	if !out.expires.IsZero() {
		expire := time.AfterFunc(time.Until(out.expires), func() { c.queue.expire(out) })
		defer expire.Stop()
	}
	answered := false
	defer func() { // also when match panics
		if !answered {
			c.queue.withdraw(out)
		}
	}()
	answer, err := r.wait(ctx, c, match)
	answered = err == nil
	return answer, err
}

// wait returns the first message that matches. It blocks until then, or until ctx ends or
// the request fails.
func (r *request) wait(ctx context.Context, c *Client, match func(Message) bool) (Message, error) {
	c.handOffReader()
	for {
		var in inbound
		select {
		case in = <-r.in:
		case <-ctx.Done():
			return Message{}, context.Cause(ctx)
		case <-r.over:
			select {
			case in = <-r.in: // it arrived before the end
			default:
				return Message{}, r.err
			}
		}
		if m, ok := in.matches(c, match); ok {
			return m, nil
		}
	}
}

// matches returns the message, and reports whether it matches.
func (in inbound) matches(c *Client, match func(Message) bool) (m Message, ok bool) {
	defer func() { in.looked(ok) }() // also when match panics
	m, _, err := in.read(c)
	ok = !errors.Is(err, ErrNotUTF8) && match(m)
	return m, ok
}

// decline gives up the messages that wait to be matched.
func (r *request) decline() {
	for {
		select {
		case in := <-r.in:
			in.looked(false)
		default:
			return
		}
	}
}

// fail ends the wait with err, after the messages that arrived before.
func (r *request) fail(err error) {
	r.once.Do(func() {
		r.err = err
		close(r.over)
		r.cancel(err)
	})
}

// requests are the calls that wait for an answer.
type requests struct {
	mu   sync.Mutex                 // serializes writers of list
	list atomic.Pointer[[]*request] // replaced, never changed in place
}

// all returns the requests that wait now. The slice is read-only.
func (rs *requests) all() []*request {
	if list := rs.list.Load(); list != nil {
		return *list
	}
	return nil
}

// replace sets the list. It is called with mu held.
func (rs *requests) replace(list []*request) { rs.list.Store(&list) }

// add adds r to the list.
func (rs *requests) add(r *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.replace(append(slices.Clone(rs.all()), r))
}

// remove ends r.
func (rs *requests) remove(r *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	close(r.done)
	r.decline()
	r.cancel(nil)
	rs.replace(slices.DeleteFunc(slices.Clone(rs.all()), func(other *request) bool { return other == r }))
}

// offer gives the messages of b to all requests, on the reader goroutine. It blocks while the
// backlog of a request is full, between calls of stall and resume.
func (rs *requests) offer(b *batch, stall, resume func()) {
	for i := range b.messages {
		for _, r := range rs.all() {
			if !r.accepted.Load() {
				continue
			}
			in := b.offered(i)
			select {
			case r.in <- in:
			default:
				stall()
				select {
				case r.in <- in:
				case <-r.done:
					in.looked(false)
				case <-b.link.dead:
					in.looked(false)
				case <-b.link.session.ctx.Done():
					in.looked(false)
				}
				resume()
			}
			select {
			case <-r.done: // perhaps before in was sent
				r.decline()
			default:
			}
		}
	}
}

// inboxFull fails the requests that were made in a callback with ErrInboxFull. The reader
// calls it before it waits for that callback.
func (rs *requests) inboxFull() {
	for _, r := range rs.all() {
		if r.callback {
			r.fail(ErrInboxFull)
		}
	}
}

// lost fails the requests that were written to l, which has ended; with a nil l, all of
// them.
func (rs *requests) lost(q *queue, l *link, err error) {
	for _, r := range rs.all() {
		q.mu.Lock()
		hit := l == nil || r.sent.link == l
		q.mu.Unlock()
		if hit {
			r.fail(err)
		}
	}
}
