package wechatws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// A Setup is a connection that is logged in and not open yet, in a function of
// [Client.AfterConnect]. Only that function may call its methods, one at a time and before
// it returns; after that they return an error.
type Setup struct {
	// Connection is the number of the connection, as in [Message].
	Connection int
	// Attempt is the number of the attempt, as in [StateChange].
	Attempt int

	link *link
	err  error // of the first function that failed; used on the attempt's goroutine only

	turn  chan struct{}   // filled while the fields below are used: a method may block for long
	ctx   context.Context // of the function that runs; nil: none
	batch *batch          // received last; nil: none
	next  int             // index in it of the message that Receive returns next
	count int             // messages received
	bytes int             // of these

	skipped error // the first *ReadLimitError
}

// errSetupOver is the error of a Setup's methods after its function has returned.
var errSetupOver = errors.New("wechatws: Setup is used after its AfterConnect function has returned")

// AfterConnect registers fn, which is called on every new connection after the login and
// before the connection is open. It is for what a protocol requires before anything else is
// sent: joining a room, subscribing, waiting for admission. If fn returns nil, the
// connection is open. An error, or the end of the timeout, makes it a failed attempt, with a
// [*DialError] of phase "setup", which is permanent if the error is marked with [Permanent].
// Several functions are called in the order of registration, each with its own timeout.
//
// fn is called on the goroutine of the attempt, not on that of the callbacks, so a slow
// callback does not delay it. The messages that it receives reach the callbacks too, after
// [Client.OnOpen]; those of a failed attempt reach none, but [Client.OnError] receives the first
// [*ReadLimitError]. While fn runs, no heartbeat is sent and the queue waits, so fn must not wait
// for [Client.Flush], [Client.Request] or [Client.SendConfirmed]. The context of fn ends with the
// timeout, with [Client.Close], and when the attempt is restarted, by [Client.Reconnect] or because
// its network is gone; that also ends the connection, and with it methods of the Setup that were
// called with another context.
//
// An id that fn receives and every later message needs, such as that of a session, is best written by
// a MarshalJSON method of the messages' type, which reads it from an atomic.Value, with
// [EncodeOnWrite]: then a message that was queued before has the id of the connection that it is
// written to.
//
// AfterConnect may be called at any time; it has no effect on the current connection, and
// remove none on a call under way. A nil fn or a timeout that is not above zero is an
// [*OptionError], reported to [Client.OnError] and returned by the next Connect.
func (c *Client) AfterConnect(timeout time.Duration, fn func(ctx context.Context, o *Setup) error) (remove func()) {
	switch {
	case fn == nil:
		return c.badCallback("AfterConnect", "")
	case timeout <= 0:
		return c.misuse(&OptionError{Option: "AfterConnect", Value: timeout.String(), Want: "the timeout must be longer than zero"})
	case lacksUnit(timeout):
		return c.misuse(&OptionError{Option: "AfterConnect", Value: timeout.String(), Want: "the timeout " + needsUnit})
	}
	return c.afterConnect.Add(func(ctx context.Context, o *Setup) {
		if o.err != nil {
			return
		}
		cause := fmt.Errorf("not done within %v: %w", timeout, context.DeadlineExceeded)
		ctx, cancel := context.WithTimeoutCause(ctx, timeout, cause)
		defer cancel()
		o.enter(ctx)
		if o.err = users.Apart(func() error { return fn(ctx, o) }); o.err != nil {
			cancel()
		}
		o.leave()
	})
}

// enter begins a function, with its context.
func (o *Setup) enter(ctx context.Context) {
	o.turn <- struct{}{}
	o.ctx = ctx
	<-o.turn
}

// leave ends it. It waits for a method that runs on another goroutine, which the end of the
// function's context ends.
func (o *Setup) leave() {
	o.turn <- struct{}{}
	o.ctx = nil
	<-o.turn
}

// take begins a method, which must empty turn, unless it returns an error.
func (o *Setup) take(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if o.ctx == nil {
		<-o.turn
		return errSetupOver
	}
	return nil
}

// until is [link.until] with both contexts: that of a method, and that of the function, which may
// not be derived from it.
func (o *Setup) until(ctx context.Context, do func() error) error {
	return o.link.until(o.ctx, func() error { return o.link.until(ctx, do) })
}

// setUp calls the AfterConnect functions, on the goroutine of the attempt, and returns how
// long they took.
func (s *session) setUp(ctx context.Context, l *link, attempt int) (took time.Duration, err error) {
	o := &Setup{Connection: l.number, Attempt: attempt, link: l, turn: make(chan struct{}, 1)}
	if callbacks := s.client.afterConnect.All(); len(callbacks) > 0 {
		began := time.Now()
		callAll(ctx, callbacks, o, func(err error) { o.err = err })
		took = time.Since(began)
	}
	if c := s.client; o.err == nil {
		c.keeps.restart(c.cfg.codec, func(err error) { c.reportLater(s, err) })
	}
	if o.err == nil && isClosed(l.dead) { // fn has ignored the error
		o.err = l.why()
	}
	if o.err != nil {
		if o.skipped != nil { // fn may have waited for that message
			s.client.reportLater(s, o.skipped)
		}
		return 0, &DialError{Phase: phaseSetup, Err: o.err, text: because(o.err)}
	}
	return took, nil
}

// Send writes v, which may be anything that [Client.Send] takes, before all messages in the
// queue. It blocks until the socket has taken it. When ctx ends, it ends the connection and
// returns the cause.
func (o *Setup) Send(ctx context.Context, v any) error {
	if err := needContext(ctx, "Setup.Send"); err != nil {
		return err
	}
	m, err := encode(o.link.client.cfg.codec, v)
	if err != nil {
		return err
	}
	if err := o.take(ctx); err != nil {
		return err
	}
	defer func() { <-o.turn }()
	o.link.greeting.messages++
	o.link.greeting.bytes += len(m.Data)
	return o.until(ctx, func() error { return o.link.writeAlone(&m) })
}

// Receive returns the next message, text or binary, with or without a type, which is not an error
// then if no callback takes it; text that is not valid UTF-8, and a message above the read limit
// ([WithReadLimit]), are skipped. It blocks until there is one. When ctx ends, it ends the
// connection and returns the cause. It returns a [*CloseError] when the connection has ended, and
// an error when more messages have arrived than the inbox holds: 1,024 of them, or 4 MiB.
func (o *Setup) Receive(ctx context.Context) (Message, error) {
	if err := needContext(ctx, "Setup.Receive"); err != nil {
		return Message{}, err
	}
	if err := o.take(ctx); err != nil {
		return Message{}, err
	}
	defer func() { <-o.turn }()
	l := o.link
	for {
		if o.count >= inboxMessages || o.bytes >= inboxBytes {
			return Message{}, fmt.Errorf("wechatws: the connection is not open after %d messages of %d bytes", o.count, o.bytes)
		}
		if o.batch == nil || o.next == len(o.batch.Messages) {
			err := o.until(ctx, func() (err error) {
				if o.batch, err = l.nextBatch(); err != nil {
					err = l.closeError(err)
				}
				return err
			})
			if err != nil {
				return Message{}, err
			}
			if o.next = 0; len(o.batch.Messages) > 0 {
				l.early = append(l.early, o.batch)
				l.screen(o.batch, false)
			}
			continue
		}
		m, _, err := o.batch.read(o.next)
		usable := isUsable(err)
		if usable {
			o.batch.take(o.next)
		} else if _, ok := err.(*ReadLimitError); ok && o.skipped == nil {
			o.skipped = err
		}
		o.next++
		o.count++
		o.bytes += len(m.Data)
		if usable {
			return m.own(), nil
		}
	}
}

// Request writes v as [Setup.Send] does, and then returns the first message that [Setup.Receive]
// returns for which match returns true; those before it are received. It blocks until then, and
// returns the errors of both methods, and a [*PanicError] if match panics or calls
// [runtime.Goexit]. match is called on another goroutine, one message at a time, and must not call
// methods of the Setup. If it blocks, Request does, whatever the context.
func (o *Setup) Request(ctx context.Context, v any, match func(Message) bool) (Message, error) {
	if match == nil {
		return Message{}, &OptionError{Option: "Setup.Request", Value: "nil", Want: "match must be a function"}
	}
	err := o.Send(ctx, v)
	for err == nil {
		var m Message
		if m, err = o.Receive(ctx); err != nil {
			break
		}
		answer := false
		if err = users.Apart(func() error { answer = match(m); return nil }); answer {
			return m, nil
		}
	}
	return Message{}, err
}

// SetHeartbeat replaces the heartbeat of [WithHeartbeat] for this connection, for servers that
// dictate it. Zero fields have the same defaults, except that there is no heartbeat if Interval is
// zero, whatever the other fields are. It returns an [*OptionError] for the values that
// WithHeartbeat refuses, and for a Message that cannot be encoded. The last of several calls
// counts. SetHeartbeat does not block.
func (o *Setup) SetHeartbeat(h Heartbeat) error {
	if err := h.check("Setup.SetHeartbeat"); err != nil {
		return err
	}
	if h.Interval == 0 {
		h = Heartbeat{}
	}
	p, err := o.link.client.cfg.newPulse("Setup.SetHeartbeat", h)
	if err != nil {
		return err
	}
	if err := o.take(context.Background()); err != nil {
		return err
	}
	defer func() { <-o.turn }()
	o.link.heartbeat.pulse = p
	return nil
}

// A linkSetup is what a [Setup] sets for its connection. Most set nothing, so that a link does not
// have the fields itself.
type linkSetup struct {
	hold      time.Duration
	observers []func(Message)
}

func (l *link) settings() *linkSetup {
	if l.setup == nil {
		l.setup = &linkSetup{}
	}
	return l.setup
}

// HoldQueue holds the messages in the queue back until the connection has been open for d;
// by default they are written at once. It is for servers that need some time between their
// answer and the first message. Messages are received and heartbeats are sent meanwhile. If
// the connection ends before, the messages wait for the next one. If d outlasts the drain
// timeout ([WithDrainTimeout]), [Client.Close] hands them back. The longest d of several calls
// counts. HoldQueue does not block.
func (o *Setup) HoldQueue(d time.Duration) {
	if o.take(context.Background()) == nil {
		s := o.link.settings()
		s.hold = max(s.hold, d)
		<-o.turn
	}
}

// Observe has fn called with each message of this connection that arrives from now on, by default
// none, before any callback for it runs and however long callbacks take. It is for what a layer on
// the client must know at once, such as whether a message that it has sent was accepted. The message
// reaches the callbacks as well. Each of several functions is called.
//
// fn is called as that of [WithReply] is: on the goroutine that reads the connection, one message at
// a time, with those that [Setup.Receive] returns too. It must not block, nor retain the message's
// Data. If it panics, [Client.OnError] receives a [*PanicError]. Observe does not block, and returns
// an [*OptionError] for a nil fn.
func (o *Setup) Observe(fn func(m Message)) error {
	if fn == nil {
		return wrong("Setup.Observe", "nil", "must be a function")
	}
	if err := o.take(context.Background()); err != nil {
		return err
	}
	s := o.link.settings()
	s.observers = append(s.observers, fn)
	<-o.turn
	return nil
}

// writeAlone writes one message of a link that is not open yet. It blocks until the socket has
// taken the message, or the link has ended. A peer that refuses the message ends the connection
// while it is written: then writeAlone returns the *CloseError of its close frame.
func (l *link) writeAlone(m *Outbound) error {
	err := l.writeOne(m)
	if err == nil || isClosed(l.dead) {
		return err
	}
	grace := time.AfterFunc(readGrace, func() { l.fail(&CloseError{Code: StatusAbnormalClosure, Err: err}) })
	defer grace.Stop()
	for {
		b, readErr := l.nextBatch()
		if readErr == nil {
			l.screen(b, false)
			b.release()
		} else if end := l.closeError(readErr); end.Remote && end.Code != StatusAbnormalClosure {
			return end
		} else {
			return err
		}
	}
}

// writeOne is the write of writeAlone.
func (l *link) writeOne(m *Outbound) error {
	w := &l.writer
	w.mu.Lock()
	_ = w.await(context.Background(), func() bool { return !w.writing.Load() })
	ok := !w.over && l.becomeWriter()
	w.mu.Unlock()
	if !ok {
		return net.ErrClosed
	}
	defer l.helpers.Done()
	defer l.writerEnded()
	if err := l.writeMessage(m); err != nil {
		return err
	}
	return l.conn.Flush()
}

// A greeting is what was written to a link before the queue.
type greeting struct {
	login           int // its size in bytes
	messages, bytes int // of AfterConnect functions
	kept, keptBytes int // of Keep, behind a refusal
}

func (g greeting) any() bool { return g != greeting{} }

func (g greeting) String() string {
	var parts []string
	if g.login > 0 {
		parts = append(parts, "the login of "+count(g.login, "byte"))
	}
	if g.messages > 0 {
		parts = append(parts, fmt.Sprintf("%s of AfterConnect (%s)", count(g.messages, "message"), count(g.bytes, "byte")))
	}
	if g.kept > 0 {
		parts = append(parts, fmt.Sprintf("%s of Keep (%s)", count(g.kept, "message"), count(g.keptBytes, "byte")))
	}
	return strings.Join(parts, " and ")
}
