package wechatws

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/callbacks"
	"github.com/wechatws/wechatws/internal/peek"
	"github.com/wechatws/wechatws/internal/serial"
	"github.com/wechatws/wechatws/internal/ws"
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
// [Client.Shutdown] and [Client.Request] recognise that they are called in one of them.
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

// A progress is how far the callbacks for a batch have run. A step is recorded before a
// function of the user is called, so that a panic or runtime.Goexit in it skips nothing else.
type progress struct {
	delivery *delivery // nil: they have not begun
	next     int       // index of the message
	step     step      // for that message
	failed   error     // to be reported before the step, or being reported; nil: none

	// Of that message.
	ctx     context.Context // of its callbacks
	current Message
	typed   []*callbacks.Callback[Message] // of its type
	err     error                          // see batch.read
	first   []*callbacks.Callback[Message] // to be called
	then    []*callbacks.Callback[Message] // to be called after first
	hook    int                            // how many trace functions of the step were called
	info    MessageInfo                    // for these
	start   time.Time                      // when the first one was called
}

// A step is what is to be done next for a message.
type step int

const (
	reading  step = iota
	starting      // calling the trace functions for the start
	choosing      // the callbacks
	calling
	finishing // calling the trace functions for the end
)

// Run implements [serial.Item]: it runs the callbacks for all messages of the batch.
func (b *batch) Run(item int64) {
	if s := b.link.session; b.delivery == nil {
		b.delivery = &delivery{s.ctx, s.client.inbox, item}
		b.ctx = b.delivery
	}
	for !b.runOn() {
	}
	b.release()
}

// runOn goes on until all is done, or a function of the user fails. One deferred function for
// all callbacks costs less than one for each.
func (b *batch) runOn() (done bool) {
	defer func() {
		switch v := recover(); {
		case done:
		case b.failed != nil: // a failure of OnError callbacks is not reported
			b.failed = nil
		case v == nil: // runtime.Goexit; another goroutine calls Run again
			b.failed = users.Error(boundary.ErrGoexit)
		default:
			b.failed = users.Error(v)
		}
	}()
	c := b.link.client
	b.report(c)
	for b.next < len(b.Messages) {
		b.route(c)
		c.inbox.Done(1, len(b.Messages[b.next].Data))
		b.step = reading
		b.next++
	}
	return true
}

// report calls the OnError callbacks with failed.
func (b *batch) report(c *Client) {
	if b.failed != nil {
		c.report(b.ctx, b.failed)
		b.failed = nil
	}
}

// route runs the callbacks for a message, from the step that is next.
func (b *batch) route(c *Client) {
	traces := c.cfg.trace
	switch b.step {
	case reading:
		if b.isPong(b.next) || b.delivery.Err() != nil { // in the latter case Close was called
			return
		}
		b.ctx = b.delivery
		b.current, b.typed, b.err = b.read(b.next)
		b.step = starting
		if len(traces.messageStart)+len(traces.messageDone) > 0 {
			m := &b.current
			b.start = time.Now()
			b.info = MessageInfo{Connection: m.Connection, Type: m.Type, Binary: m.Binary, Size: len(m.Data), Waited: b.start.Sub(m.Received)}
		}
		fallthrough
	case starting:
		for b.hook < len(traces.messageStart) {
			b.hook++
			b.ctx = begun(b.ctx, traces.messageStart[b.hook-1](b.ctx, b.info))
		}
		b.step, b.hook = choosing, 0
		fallthrough
	case choosing:
		b.step = calling
		b.choose(c)
		b.report(c)
		fallthrough
	case calling:
		for len(b.first) > 0 || len(b.then) > 0 {
			if len(b.first) == 0 {
				b.first, b.then = b.then, nil
			}
			one := b.first[0]
			b.first = b.first[1:]
			one.Call(b.ctx, b.current)
		}
		b.step = finishing
		if len(traces.messageDone) > 0 {
			b.info.Took = time.Since(b.start)
		}
		fallthrough
	case finishing:
		for b.hook < len(traces.messageDone) {
			b.hook++
			traces.messageDone[b.hook-1](b.ctx, b.info)
		}
		b.hook = 0
	}
}

// choose sets the callbacks for the message, or failed to why there is none.
func (b *batch) choose(c *Client) {
	if !isUsable(b.err) {
		b.failed = unusable(b.current, b.err)
		return
	}
	if b.first, b.then = c.onMessage.All(), b.typed; len(b.then) == 0 {
		b.then = c.onUnknown.All()
	}
	if b.prepared != nil && b.prepared[b.next].panicked != nil {
		b.failed = b.prepared[b.next].panicked
	} else if len(b.first)+len(b.then) == 0 && !b.isTaken(b.next) {
		b.failed = c.cfg.untaken(&b.current, b.err)
	}
}

// A batch holds messages that were read together, on their way through requests and the inbox to
// the callbacks.
type batch struct {
	serial.Node
	progress
	*ws.Batch
	link     *link
	at       time.Time  // when they were read
	prepared []prepared // by prepare; nil: no function has seen them
	replied  bool       // the function of WithReply has seen the messages
	matched  bool       // Heartbeat.Pong and requests have
	taken    [ws.MaxBatch / 64]uint64
	pongs    []bool // which messages answer a heartbeat; nil: none

	// With WithParallel:
	keys  []string     // of the messages
	parts atomic.Int32 // how many of them have not been handled
	whole *batch       // that b is one message of; nil: none
}

// batches has batches, since a busy connection needs one for each read.
var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch(l *link, received *ws.Batch) *batch {
	b := batches.Get().(*batch)
	b.Batch, b.link, b.at = received, l, time.Now()
	return b
}

// release gives the memory of the messages back, when all of them have been handled.
func (b *batch) release() {
	if whole := b.whole; whole == nil {
		b.Batch.Release()
	} else if whole.parts.Add(-1) == 0 {
		whole.release()
	}
	*b = batch{}
	batches.Put(b)
}

// take records that a request, Setup.Receive, or the function of WithReply has taken message i: it is
// no error if no callback takes it.
func (b *batch) take(i int) {
	if b.prepared != nil { // these may be more than ws.MaxBatch
		b.prepared[i].taken = true
		return
	}
	b.taken[i/64] |= 1 << (i % 64)
}

// isTaken reports whether take was called for message i.
func (b *batch) isTaken(i int) bool {
	if b.prepared != nil {
		return b.prepared[i].taken
	}
	return b.taken[i/64]&(1<<(i%64)) != 0
}

// size returns how many bytes the messages have.
func (b *batch) size() (bytes int) {
	for i := range b.Messages {
		bytes += len(b.Messages[i].Data)
	}
	return bytes
}

// message returns a message of the batch without its type. borrowed reports whether its data is used
// again.
func (b *batch) message(m ws.Message, borrowed bool) Message {
	return Message{
		Data: m.Data, Binary: !m.Text, Received: b.at, Connection: b.link.number,
		codec: b.link.client.cfg.codec, borrowed: borrowed,
	}
}

// read returns message i and the callbacks of its type. With an error, which is a
// [*ReadLimitError], a [*PanicError] or the Err of a [*DecodeError], it has no type, but is complete
// otherwise.
func (b *batch) read(i int) (m Message, typed []*callbacks.Callback[Message], err error) {
	c := b.link.client
	m = b.message(b.Messages[i], b.Reused())
	switch {
	case b.Skipped > 0:
		err = &ReadLimitError{Limit: c.cfg.readLimit, Size: b.Skipped, Connection: b.link.number}
	case b.prepared != nil && (b.prepared[i].err != nil || c.cfg.typeFunc != nil):
		m.Type, err = b.prepared[i].typ, b.prepared[i].err
		typed = c.types.of(m.Type)
	case !m.Binary && !utf8.Valid(m.Data):
		err = ErrNotUTF8
	case m.Binary:
		err = ErrNoType
	default:
		var name []byte
		if name, err = peek.Type(m.Data, c.cfg.typePath); err == nil {
			m.Type, typed = c.types.find(name)
		}
	}
	return m, typed, err
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
	number, ended := c.sessions+1, c.stats.State.terminal()
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
