package wechatws

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/internal/boundary"
)

// A request is a call of [Client.Request], [Call] or [Client.SendConfirmed] that waits for its
// answer. The reader calls match with each message that arrives, or finds the request by its id, so
// that the answer also reaches a call in a callback, which keeps the inbox busy.
type request struct {
	match    func(Message) bool
	id       string // of a Call, which has no match; see idOf
	list     *requests
	sent     *queued // that waits for room in the outbox, or has; nil: the call is of SendConfirmed
	callback bool    // made in a callback

	// accepted is set when the outbox has accepted the message. Messages that arrive before
	// that are no answers.
	accepted atomic.Bool

	// The request is a node of requests, or in its calls; its mutex guards the fields below.
	prev, next *request
	listed     bool
	matching   bool // match is being called
	ending     bool // the call waits until match has returned

	link    *link     // the one that has written the message; nil: none
	written time.Time // when; zero: it was not, or is to be written again
	upTo    int64     // its end in the stream of the link's socket; 0: unknown
	lost    bool      // the call is of SendConfirmed, and the connection has ended since

	over   bool // it has its result:
	answer Message
	err    error
	wake   chan struct{} // filled when over or lost is set; while ending is, also when match has returned
}

// beginRequest registers a request, which the caller must end. With the inbox full, in a
// callback, it returns ErrInboxFull and registers nothing: the reader would wait for that
// callback, which would wait for the reader.
func (c *Client) beginRequest(ctx context.Context, r *request) error {
	r.list, r.callback = &c.requests, c.insideCallback(ctx)
	if err := r.list.add(r); err != nil { // before isFull, or inboxFull could miss it
		return err
	}
	if r.callback && c.inbox.IsFull() {
		_, _ = r.end()
		return ErrInboxFull
	}
	return nil
}

// Request sends v as [Client.Send] does, and returns the answer: the first message that
// arrives from then on, with or without a type, for which match returns true. It blocks
// until then, or until ctx ends. The answer reaches the callbacks as well; it is not an
// error if none of them takes it.
//
// match is called on the goroutine that reads the connection, one message at a time, before
// the callbacks for that message run, and not after Request has returned. The message's Data
// is valid until it returns. While match runs nothing else is read, so it must not block. If
// it panics or calls [runtime.Goexit], Request returns a [*PanicError].
//
// In a callback, give Request the context of the callback, or one derived from it. It does
// not wait for the callback then, and returns [ErrInboxFull] if the answer cannot be read
// because the inbox is full. With any other context it blocks until that ends in this case.
//
// Request returns the errors of Send; [ErrQueueFull] if [QueueDropOldest] drops the message;
// [ErrExpired] if it is not written within its [ExpireAfter]; a [*DroppedError] if the peer
// refuses it, see [ErrRefused]; [ErrConnectionLost] if the connection ends after the
// message was written; [ErrClosed] if the client is closed or fails; or the cause of ctx's end.
// [Client.OnError] is not called for it. A message that is still in the queue when Request
// returns is not sent; if it is being written at that time, it is not written again.
// Request may be called from any goroutine.
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
	return c.ask(ctx, &request{match: match, sent: out})
}

// ask sends the message of r and returns the answer.
func (c *Client) ask(ctx context.Context, r *request) (Message, error) {
	out := r.sent
	out.Value.request = r
	if err := c.beginRequest(ctx, r); err != nil {
		return Message{}, err
	}
	defer r.end()
	defer c.waits(ctx)()
	if !out.Expires.IsZero() {
		expire := time.AfterFunc(time.Until(out.Expires), func() { c.outbox.Drop(out, ErrExpired) })
		defer expire.Stop()
	}
	defer c.outbox.Withdraw(out) // unless it is written
	if err := c.push(ctx, out); err != nil {
		r.fail(err)
	} else {
		c.await(ctx, r, nil)
	}
	return r.end()
}

// await blocks until r has its result, or until ctx ends, which is a result too, and returns
// true; or until timeout fires, and returns false.
func (c *Client) await(ctx context.Context, r *request, timeout <-chan time.Time) bool {
	c.handOffReader()
	select {
	case <-r.wake:
	case <-ctx.Done():
		r.fail(context.Cause(ctx))
	case <-timeout:
		return false
	}
	return true
}

// requests are the calls that wait for an answer.
type requests struct {
	n      atomic.Int32 // how many there are
	nCalls atomic.Int32 // how many of these have an id
	lastID atomic.Int64 // that a Call was given

	mu          sync.Mutex // guards the fields below, and those of the requests
	first, last *request   // of the list of those with a match function
	calls       map[string]*request
	spare       chan struct{} // for the wake of the next one; nil: none
}

// all returns all requests. It is used with the mutex held.
func (rs *requests) all() iter.Seq[*request] {
	return func(yield func(*request) bool) {
		for r := rs.first; r != nil; r = r.next {
			if !yield(r) {
				return
			}
		}
		maps.Values(rs.calls)(yield)
	}
}

// add adds r, unless another call waits for its id.
func (rs *requests) add(r *request) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.calls[r.id] != nil {
		return idInUse(r.id)
	}
	if r.wake, rs.spare = rs.spare, nil; r.wake == nil {
		r.wake = make(chan struct{}, 1)
	}
	r.listed = true
	rs.n.Add(1)
	if r.id != "" {
		if rs.calls == nil {
			rs.calls = map[string]*request{}
		}
		rs.calls[r.id] = r
		rs.nCalls.Add(1)
		return nil
	}
	r.prev = rs.last
	if rs.last != nil {
		rs.last.next = r
	} else {
		rs.first = r
	}
	rs.last = r
	return nil
}

// remove removes r. It is called with the mutex held.
func (rs *requests) remove(r *request) {
	r.listed = false
	rs.n.Add(-1)
	if r.id != "" {
		delete(rs.calls, r.id)
		rs.nCalls.Add(-1)
		return
	}
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		rs.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		rs.last = r.prev
	}
}

// end removes r and returns its result. It blocks while match is being called,
// since that must not be called once Request has returned. It may be called again.
func (r *request) end() (Message, error) {
	rs := r.list
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !r.listed {
		return r.answer, r.err
	}
	for r.ending = true; r.matching; {
		rs.mu.Unlock()
		<-r.wake
		rs.mu.Lock()
	}
	r.over = true
	rs.remove(r)
	select {
	case <-r.wake:
	default:
	}
	rs.spare = r.wake
	return r.answer, r.err
}

// fail sets the result, and reports whether there was none before.
func (r *request) fail(err error) bool {
	r.list.mu.Lock()
	defer r.list.mu.Unlock()
	return r.settle(Message{}, err)
}

// writtenTo records that l has written the message.
func (r *request) writtenTo(l *link) {
	r.list.mu.Lock()
	defer r.list.mu.Unlock()
	r.link, r.written = l, time.Now()
	if l.socket != nil {
		r.upTo = l.socket.Accepted()
	}
}

// wasWrittenTo reports whether l has written the message last.
func (r *request) wasWrittenTo(l *link) bool {
	r.list.mu.Lock()
	defer r.list.mu.Unlock()
	return r.link == l
}

// onItsWay reports whether the peer has not acknowledged all of the message yet. A copy would wait
// behind it.
func (r *request) onItsWay() bool {
	r.list.mu.Lock()
	l, upTo := r.link, r.upTo
	r.list.mu.Unlock()
	return l != nil && l.life().Acked < upTo
}

// again is called when the message is to be written again.
func (r *request) again() {
	r.list.mu.Lock()
	defer r.list.mu.Unlock()
	r.written, r.lost = time.Time{}, false
}

// state returns whether the request has its result, whether its connection is lost, and when
// the message was written.
func (r *request) state() (over, lost bool, written time.Time) {
	r.list.mu.Lock()
	defer r.list.mu.Unlock()
	return r.over, r.lost, r.written
}

// settle sets the result, and reports whether there was none before. It is called with the
// list's mutex held.
func (r *request) settle(answer Message, err error) bool {
	if r.over {
		return false
	}
	r.over, r.answer, r.err = true, answer, err
	r.signal()
	return true
}

// signal wakes the call. It is called with the list's mutex held.
func (r *request) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// match calls the match functions with the messages of b, on the reader goroutine, and marks
// those that are an answer.
func (rs *requests) match(b *batch) {
	if rs.n.Load() == 0 {
		return
	}
	for p := (pass{requests: rs, batch: b}); !p.run(); {
	}
}

// A pass is the matching of one batch. It has its place in fields, so that it goes on behind
// a match function that panics.
type pass struct {
	requests *requests
	batch    *batch
	i        int      // the index of the message
	message  Message  // that message, once it has been read
	read     bool     // it has
	valid    bool     // it is a message for match
	calling  *request // whose match is being called, or has been
	took     bool     // the result of match
	err      error    // the *PanicError of match
}

// run goes on with the pass and reports whether it is done: if not, a match function has
// panicked. If one calls runtime.Goexit, the pass is done while the goroutine ends. There is
// one deferred function for all calls, which are too many for one each.
func (p *pass) run() (done bool) {
	defer func() {
		if done {
			return
		}
		if v := recover(); v != nil {
			p.err = users.Error(v)
			return
		}
		p.err = users.Error(boundary.ErrGoexit)
		for !p.run() {
		}
	}()
	for ; p.i < len(p.batch.Messages); p.i++ {
		if !p.read {
			var err error
			p.message, _, err = p.batch.read(p.i)
			p.read, p.valid = true, isUsable(err)
		}
		if p.calling == nil {
			p.answer()
		}
		for r := p.next(); r != nil; r = p.next() {
			p.took = r.match(p.message)
		}
		p.read = false
	}
	return true
}

// answer ends the call that waits for a message with the id of this one, if there is one.
func (p *pass) answer() {
	rs := p.requests
	if !p.valid || rs.nCalls.Load() == 0 {
		return
	}
	id := idOf(p.message.Data, p.batch.link.client.cfg.requestID)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.calls[string(id)]; r != nil && r.accepted.Load() && !r.over {
		r.settle(p.message.own(), nil)
		p.batch.take(p.i)
	}
}

// next ends the call of match that has returned, if any, and returns the request whose match
// is to be called next; nil: none.
func (p *pass) next() *request {
	p.requests.mu.Lock()
	defer p.requests.mu.Unlock()
	r := p.requests.first
	if last := p.calling; last != nil {
		last.matching = false
		switch {
		case last.over:
		case p.err != nil:
			last.settle(Message{}, p.err)
		case p.took:
			last.settle(p.message.own(), nil)
			p.batch.take(p.i)
		}
		if last.ending {
			last.signal()
		}
		p.took, p.err = false, nil
		r = last.next
	}
	for r != nil && (!p.valid || r.over || !r.accepted.Load()) {
		r = r.next
	}
	if r != nil {
		r.matching = true
	}
	p.calling = r
	return r
}

// inboxFull fails the requests that were made in a callback with ErrInboxFull. The reader
// calls it before it waits for that callback.
func (c *Client) inboxFull() {
	rs := &c.requests
	rs.mu.Lock()
	var failed []*queued
	for r := range rs.all() {
		if r.callback && r.settle(Message{}, ErrInboxFull) && r.sent != nil {
			failed = append(failed, r.sent)
		}
	}
	rs.mu.Unlock()
	for _, m := range failed {
		c.outbox.Withdraw(m) // it may wait for room
	}
}

// endAll fails all requests.
func (rs *requests) endAll(err error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.all() {
		r.settle(Message{}, err)
	}
}

// lost fails the requests that were written to l, which has ended. Those of SendConfirmed are
// written again.
func (rs *requests) lost(l *link, err error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.all() {
		switch {
		case r.link != l || r.written.IsZero():
		case r.sent != nil:
			r.settle(Message{}, err)
		default:
			r.lost = true
			r.signal()
		}
	}
}

// slowMatch is how long functions of the user may take together, with the messages of one batch,
// before this counts as a stall.
const slowMatch = time.Second

// match passes messages to the functions that see each of them, and to requests.
func (l *link) match(b *batch) {
	if b.matched || l.client.requests.n.Load() == 0 && !l.screens() {
		return
	}
	b.matched = true
	l.show(b, func(b *batch) {
		defer l.client.requests.match(b)
		l.screen(b, true)
	})
}

// show calls fn, which calls functions of the user with the messages of b. Time in which these
// are slow counts as a stall. If one of them calls runtime.Goexit, the next reader goes on with b.
func (l *link) show(b *batch, fn func(*batch)) {
	l.stalled.Store(true)
	returned := false
	defer func() {
		if !returned {
			l.early = slices.Insert(l.early, 0, b)
		}
		if time.Since(b.at) < slowMatch {
			l.stalled.Store(false)
			return
		}
		l.stalls.Add(1)
		l.Resume()
	}()
	fn(b)
	returned = true
}
