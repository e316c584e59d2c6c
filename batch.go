package wechatws

import (
	"context"
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
		if b.isPong(b.next) {
			return
		}
		if b.delivery.Err() != nil { // Close was called
			b.discard(c)
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

// discard handles a message that no callback receives.
func (b *batch) discard(c *Client) {
	if c.cfg.discarded == nil {
		return
	}
	if m, _, err := b.read(b.next); isUsable(err) {
		c.cfg.discarded(m)
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
	replied  bool       // the functions of WithReply and Setup.Observe have seen the messages
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
	if err == ErrNoType && !m.Binary {
		typed = c.types.of("")
	}
	return m, typed, err
}
