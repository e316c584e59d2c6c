package wechatws

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// requestBacklog is how many messages may wait for one Request to look at them.
const requestBacklog = 64

// A request is a Request that waits for its answer. It gets every message that
// arrives, straight from the reader, so that it works inside a callback too, when
// the dispatcher is busy with that very callback. The match function runs on the
// goroutine of the caller, who has nothing else to do.
type request struct {
	sent     *outgoing
	callback bool // made inside a callback
	in       chan inbound
	done     chan struct{} // closed when Request returns

	// An answer can come once the message is accepted. Before that the caller may wait,
	// for room in the queue or for its turn, and looks at nothing.
	accepted atomic.Bool

	once   sync.Once
	ctx    context.Context // for what the caller waits for before that; ends with over
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when no answer will come
	err    error         // why
}

func newRequest(ctx context.Context, m *outgoing, callback bool) *request {
	r := &request{
		sent:     m,
		callback: callback,
		in:       make(chan inbound, requestBacklog),
		done:     make(chan struct{}),
		over:     make(chan struct{}),
	}
	m.request = r
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	return r
}

// Request sends v as [Client.Send] does, and waits for the message that match recognises
// among all that arrive from then on, with or without a type. The answer reaches the
// callbacks as well; if none of them takes it, that is not an error. match runs on the
// caller's goroutine; while it runs no other message is read, so it must not wait for one.
//
// Request may be called in a callback, where it does not wait for that callback to
// return. It must be called with the callback's context then, or one made from it: in the
// one case in which that cannot work it returns [ErrInboxFull]; with another context it
// waits until that ends. It returns the errors of Send; [ErrQueueFull] if the message is dropped by [QueueDropOldest]; [ErrExpired] if it
// is not written within its [ExpireAfter]; [ErrConnectionLost] if the connection ends after
// the message was written; [ErrClosed]; or the cause of ctx's end. If v still is in the
// queue when Request returns, it is not sent any more.
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
	r := newRequest(ctx, out, c.insideCallback(ctx))
	c.requests.add(r)
	defer c.requests.remove(r)
	if r.callback && c.dispatcher.isFull() {
		return Message{}, ErrInboxFull
	}
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
			c.queue.takeOut(out)
		}
	}()
	answer, err := r.wait(ctx, c, match)
	answered = err == nil
	return answer, err
}

// wait returns the first message that matches.
func (r *request) wait(ctx context.Context, c *Client, match func(Message) bool) (Message, error) {
	c.relieveReader()
	for {
		var in inbound
		select {
		case in = <-r.in:
		case <-ctx.Done():
			return Message{}, context.Cause(ctx)
		case <-r.over:
			select {
			case in = <-r.in: // it came before the end
			default:
				return Message{}, r.err
			}
		}
		if m, ok := in.matches(c, match); ok {
			return m, nil
		}
	}
}

// matches has a request look at the message.
func (in inbound) matches(c *Client, match func(Message) bool) (m Message, ok bool) {
	defer func() { in.looked(ok) }() // also when match panics
	m, _, err := in.read(c)
	ok = !errors.Is(err, ErrNotUTF8) && match(m)
	return m, ok
}

// decline does without what has come and was not looked at.
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

// fail ends the wait, once everything that came before is looked at.
func (r *request) fail(err error) {
	r.once.Do(func() {
		r.err = err
		close(r.over)
		r.cancel(err)
	})
}

// requests are those that wait now.
type requests struct {
	mu   sync.Mutex                 // for who changes the list
	list atomic.Pointer[[]*request] // replaced, never changed in place
}

func (rs *requests) all() []*request {
	if list := rs.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (rs *requests) replace(list []*request) { rs.list.Store(&list) }

func (rs *requests) add(r *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.replace(append(slices.Clone(rs.all()), r))
}

func (rs *requests) remove(r *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	close(r.done)
	r.decline()
	r.cancel(nil)
	rs.replace(slices.DeleteFunc(slices.Clone(rs.all()), func(other *request) bool { return other == r }))
}

// offer gives messages to all who wait for an answer, and waits for those who are slow
// to look at them.
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
			case <-r.done: // perhaps since before in was sent
				r.decline()
			default:
			}
		}
	}
}

// inboxFull fails what waits inside a callback: the reader is about to wait for
// that callback.
func (rs *requests) inboxFull() {
	for _, r := range rs.all() {
		if r.callback {
			r.fail(ErrInboxFull)
		}
	}
}

// lost fails the requests that were written to a link that has ended, or all of
// them when nil.
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
