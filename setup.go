package wechatws

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Setup is a connection that is logged in and not open yet, in an AfterConnect
// function. Only that function may call its methods, before it returns.
type Setup struct {
	// Connection is the number of the connection, as in [Message].
	Connection int
	// Attempt is the number of the attempt, as in [StateChange].
	Attempt int

	link *link
	err  error // of a function; those after it are not run

	mu    sync.Mutex
	over  bool
	bytes int // of the link's early messages
}

var errSetupOver = errors.New("wechatws: Setup is used after its AfterConnect function has returned")

// AfterConnect registers fn, which is called on every new connection after the login and
// before the connection is open. It is for what a protocol requires before anything else
// is sent: joining a room, subscribing, waiting for admission. The queue waits for it. If
// fn returns nil, the connection is open; an error, or the end of the timeout, which is
// for fn as a whole, makes it a failed attempt (a [*DialError] of phase "setup"), a
// permanent one if the error is marked with [Permanent]. Several functions run in
// the order of registration.
//
// Unlike callbacks fn runs on the reader goroutine, so that a slow callback does not
// delay it. The messages that it receives reach the callbacks as well, after
// [Client.OnOpen]; those of a failed attempt reach none. While fn runs no heartbeat is
// sent. Messages of [Client.Send] are written after fn, so [Client.Flush] and
// [Client.Request] must not be waited for in fn. The context of fn ends with the timeout,
// with [Client.Close], and when the attempt is restarted: by [Client.Reconnect], or
// because the network that it uses is gone.
//
// Call AfterConnect before Connect; it has no effect on the current connection. A nil fn or
// a timeout that is not above zero is an [*OptionError], reported to [Client.OnError] and
// returned by the next Connect.
func (c *Client) AfterConnect(timeout time.Duration, fn func(ctx context.Context, o *Setup) error) (remove func()) {
	switch {
	case fn == nil:
		return c.badCallback("AfterConnect", "")
	case timeout <= 0:
		return c.misuse(&OptionError{Option: "AfterConnect", Value: timeout.String(), Want: "the timeout must be longer than zero"})
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

// opening runs the AfterConnect functions.
func (s *session) opening(ctx context.Context, l *link, attempt int) (took time.Duration, err error) {
	o := &Setup{Connection: l.number, Attempt: attempt, link: l}
	if callbacks := s.client.afterConnect.All(); len(callbacks) > 0 {
		began := time.Now()
		call(ctx, callbacks, nil, o, func(err error) { o.err = err })
		took = time.Since(began)
	}
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	if o.err == nil {
		select {
		case <-l.dead: // and fn has ignored the error
			o.err = l.cause
		default:
		}
	}
	if o.err != nil {
		return 0, &DialError{Phase: phaseSetup, Err: o.err, text: trimPrefix(o.err)}
	}
	return took, nil
}

// Send writes v, which may be anything that [Client.Send] takes, ahead of everything that
// is queued. It blocks until the socket has taken it. When ctx ends, it disconnects and
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

// Receive waits for the next message, with or without a type; text that is not valid
// UTF-8 is skipped. When ctx ends, it disconnects and returns the cause. A [*CloseError]
// means that the connection has ended. More messages than the inbox holds are an error.
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

// HoldQueue keeps the messages of the queue, and those that are sent meanwhile, for
// another d after the connection is open; by default they are written at once. It is for
// servers that need a moment between their answer and the first message. Everything else
// goes on: messages are received, heartbeats are sent. If the connection ends within d, the
// messages wait for the next one. Of several calls the longest d counts. It does not block.
func (o *Setup) HoldQueue(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		o.link.hold = max(o.link.hold, d)
	}
}
