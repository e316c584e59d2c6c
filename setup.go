package wechatws

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

	mu    sync.Mutex // guards the fields below, and serializes the methods
	over  bool       // the functions have returned
	bytes int        // of the link's early messages
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
// [Client.OnOpen]; those of a failed attempt reach none. While fn runs, no heartbeat is sent
// and the queue waits, so fn must not wait for [Client.Flush], [Client.Request] or
// [Client.SendConfirmed]. The context of fn ends with the timeout, with [Client.Close], and
// when the attempt is restarted, by [Client.Reconnect] or because its network is gone.
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
		o.err = apart(func() error { return fn(ctx, o) })
	})
}

// setUp calls the AfterConnect functions, on the goroutine of the attempt, and returns how
// long they took.
func (s *session) setUp(ctx context.Context, l *link, attempt int) (took time.Duration, err error) {
	o := &Setup{Connection: l.number, Attempt: attempt, link: l}
	if callbacks := s.client.afterConnect.All(); len(callbacks) > 0 {
		began := time.Now()
		call(ctx, callbacks, nil, o, func(err error) { o.err = err })
		took = time.Since(began)
	}
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	if o.err == nil && isClosed(l.dead) { // fn has ignored the error
		o.err = l.cause
	}
	if o.err != nil {
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
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return errSetupOver
	}
	return o.link.until(ctx, func() error { return o.link.conn.Write(m.messageType(), m.Data) })
}

// Receive returns the next message, with or without a type; text that is not valid UTF-8 is
// skipped. It blocks until there is one. When ctx ends, it ends the connection and returns
// the cause. It returns a [*CloseError] when the connection has ended, and an error when
// more messages have arrived than the inbox holds: 1,024 of them, or 4 MiB.
func (o *Setup) Receive(ctx context.Context) (Message, error) {
	if err := needContext(ctx, "Setup.Receive"); err != nil {
		return Message{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.link
	for !o.over {
		if len(l.early) >= inboxMessages || o.bytes >= inboxBytes {
			return Message{}, fmt.Errorf("wechatws: the connection is not open after %d messages of %d bytes", len(l.early), o.bytes)
		}
		var in inbound
		err := l.until(ctx, func() (err error) { in, err = l.next(); return err })
		if err != nil {
			if ctx.Err() == nil {
				err = l.closeError(err)
			}
			return Message{}, err
		}
		m, _, err := in.read(l.client)
		if err == nil || errors.Is(err, ErrNoType) {
			in.claim = &claim{taken: true}
		}
		l.early = append(l.early, in)
		o.bytes += len(in.data)
		if !errors.Is(err, ErrNotUTF8) {
			return m, nil
		}
	}
	return Message{}, errSetupOver
}

// HoldQueue holds the messages in the queue back until the connection has been open for d;
// by default they are written at once. It is for servers that need some time between their
// answer and the first message. Messages are received and heartbeats are sent meanwhile. If
// the connection ends before, the messages wait for the next one. If d outlasts the drain
// timeout ([WithDrainTimeout]), [Client.Close] hands them back. The longest d of several calls
// counts. HoldQueue does not block.
func (o *Setup) HoldQueue(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		o.link.hold = max(o.link.hold, d)
	}
}
