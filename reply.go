package wechatws

import (
	"time"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/ws"
)

// WithReply answers messages without waiting for callbacks; by default only a callback answers. It
// is for what a server must receive soon however long callbacks take, such as acknowledgements,
// answers to its own heartbeats, and its orders to end.
//
// fn is called with each message that arrives, with or without a type, text or binary, but not with
// text that is not valid UTF-8 or was skipped. Those of a connection's setup it is called with as the
// [Client.AfterConnect] function receives them. A reply that is not nil, which may be anything that
// [Client.Send] takes, is written on the same connection, ahead of the queue and in the order of the
// messages. It is dropped if the connection ends before. If the server does not read, up to 1,024
// replies of 4 MiB together wait; others are dropped, and reported to [Client.OnError] in a
// [*DroppedError] with [ErrQueueFull]. The message reaches the callbacks as well; it is not an error
// if none of them takes it.
//
// An error ends the connection, as [Client.Disconnect] does with this cause; fn is not called with
// later messages of that connection. If it is marked with [Permanent], it ends the client, also when
// the server closes the connection right behind the message. If fn panics, or its reply cannot be
// encoded, OnError callbacks receive the error, and there is no reply.
//
// fn is called on the goroutine that reads the connection, one message at a time. While it runs
// nothing else is read, so it must not block; and it must not retain the message's Data. It may call
// the methods of the client that do not block. A nil fn is an error.
func WithReply(fn func(m Message) (reply any, err error)) Option {
	return setting("WithReply", func(c *config) error {
		if fn == nil {
			return wrong("WithReply", "nil", "must be a function")
		}
		c.reply = fn
		return nil
	})
}

// The bounds of the replies of one connection that are not written yet.
const (
	maxReplies    = 1024
	maxReplyBytes = 4 << 20
)

// replies are those of a link that its writer has not written. Its mutex guards the fields.
type replies struct {
	waiting, waitingBytes int         // due, or being written
	replying              []*Outbound // being written
	replied               time.Time   // when one was last given to the connection
}

// A screening is the passage of one batch through the functions that see each message on the goroutine
// that reads, before it waits for callbacks. It has its place in fields, so that it goes on behind a
// function that panics.
type screening struct {
	link    *link
	batch   *batch
	open    bool    // the link is: Heartbeat.Pong is asked
	i       int     // the index of the message
	step    int     // for that message: the next of screeningSteps; 0: it was not read
	message Message // that message
	usable  bool    // it is a message for functions of the user
}

var screeningSteps = [...]func(*screening){(*screening).read, (*screening).askPong, (*screening).observe, (*screening).askReply, (*screening).askKey}

// screens reports whether there is a function that sees each message.
func (l *link) screens() bool {
	return l.client.cfg.reply != nil || l.client.cfg.key != nil || l.heartbeat.Pong != nil || l.setup != nil && l.setup.observers != nil
}

// screen calls the functions that see each message with those of b. open reports whether the link is
// open. If one calls runtime.Goexit, the others are called while the goroutine ends.
func (l *link) screen(b *batch, open bool) {
	if l.screens() {
		for s := (screening{link: l, batch: b, open: open}); !s.run(); {
		}
	}
}

// run goes on and reports whether it is done: if not, a function has panicked. There is one deferred
// function for all calls.
func (s *screening) run() (done bool) {
	defer func() {
		if done {
			return
		}
		if v := recover(); v != nil {
			s.report(users.Error(v))
			return
		}
		s.report(users.Error(boundary.ErrGoexit))
		for !s.run() {
		}
	}()
	for ; s.i < len(s.batch.Messages); s.i++ {
		for s.step < len(screeningSteps) {
			s.step++
			screeningSteps[s.step-1](s)
		}
		s.step = 0
	}
	s.batch.replied = true
	return true
}

func (s *screening) report(err error) { s.link.client.reportLater(s.link.session, err) }

func (s *screening) read() {
	var err error
	s.message, _, err = s.batch.read(s.i)
	s.usable = isUsable(err)
}

// askPong marks the message if it answers a heartbeat.
func (s *screening) askPong() {
	if s.open && s.usable && s.link.heartbeat.isPong(s.message) {
		if s.batch.pongs == nil {
			s.batch.pongs = make([]bool, len(s.batch.Messages))
		}
		s.batch.pongs[s.i] = true
	}
}

// observe shows the message to the functions of Setup.Observe.
func (s *screening) observe() {
	if set := s.link.setup; set != nil && s.usable && !s.batch.replied {
		observe(set.observers, s.message)
	}
}

// observe calls all functions, also behind one that panics.
func observe(fns []func(Message), m Message) {
	if len(fns) == 0 {
		return
	}
	defer observe(fns[1:], m)
	fns[0](m)
}

// askReply has the message answered.
func (s *screening) askReply() {
	l := s.link
	fn := l.client.cfg.reply
	if fn == nil || s.batch.replied || l.dismissed || !s.usable {
		return
	}
	v, err := fn(s.message)
	if v == nil && err == nil {
		return
	}
	s.batch.take(s.i)
	if err != nil {
		l.dismiss(err)
		return
	}
	m, err := encode(l.client.cfg.codec, v)
	if err != nil {
		s.report(err)
		return
	}
	l.reply(&m)
}

// dismiss ends the link with an error of the function of WithReply, or of WithUnpack, as Disconnect
// does. A permanent one is the cause also if Reconnect has ended the link before.
func (l *link) dismiss(err error) {
	l.dismissed = true
	err = users.Apart(func() error { return err })
	cause := sendable(endFor(err))
	if isPermanent(err) && !l.session.hasRetired() {
		l.mu.Lock()
		l.cause = cause
		l.mu.Unlock()
	}
	l.endSoon(cause)
}

// reply has m written ahead of the queue, unless the link has ended or too many replies wait.
func (l *link) reply(m *Outbound) {
	w := &l.writer
	w.mu.Lock()
	if w.over {
		w.mu.Unlock()
		return
	}
	if w.waiting >= maxReplies || w.waitingBytes+len(m.Data) > maxReplyBytes {
		w.mu.Unlock()
		l.client.dropped(m.handedBack(), ErrQueueFull)
		return
	}
	w.waiting++
	w.waitingBytes += len(m.Data)
	w.due.replies = append(w.due.replies, m)
	start := l.becomeWriter()
	w.mu.Unlock()
	if start {
		go l.write(false)
	}
}

// takeReplies returns the signs of life to be written now: those of due, with the first of many
// replies. Nothing else overtakes the rest, which stays due. It is called with mu held.
func (w *writer) takeReplies(due signs) (now signs) {
	n, size := 0, 0
	for n < len(due.replies) && n < maxBatch && (n == 0 || size+len(due.replies[n].Data) <= ws.BufferSize) {
		size += len(due.replies[n].Data)
		n++
	}
	now, w.due = due, signs{}
	if now.replies = due.replies[:n]; n < len(due.replies) {
		w.due.replies = due.replies[n:]
		now.close, w.due.close = nil, due.close
	}
	if w.replying = now.replies; n > 0 {
		w.wrote, w.replied = true, time.Now()
	}
	return now
}

// settleReplies makes room for as many replies as were written. It is called with mu held.
func (w *writer) settleReplies() {
	w.waiting -= len(w.replying)
	for _, m := range w.replying {
		w.waitingBytes -= len(m.Data)
	}
	w.replying = nil
}

// isPong reports whether message i answers a heartbeat.
func (b *batch) isPong(i int) bool { return b.pongs != nil && b.pongs[i] }
