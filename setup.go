package wechatws

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Setup is a connection that is logged in and not open yet: nothing but the
// AfterConnect callback speaks on it. Its methods may be called by that callback
// only, before it returns.
type Setup struct {
	// Connection is the number of the connection, as in Message.
	Connection int
	// Attempt is the number of the attempt, as in StateChange.
	Attempt int

	link *link
	err  error // of a callback; the ones after it are not run

	mu    sync.Mutex
	over  bool
	bytes int // of the link's early messages
}

var errOpeningOver = errors.New("wechatws: the opening is over")

// AfterConnect registers fn for what a protocol has to settle on every new
// connection before anything else may be said on it: joining a room, subscribing,
// waiting to be let in. It runs after the login and before the connection counts
// as open, and the queue waits for it. When fn returns nil the connection is open;
// an error, or the timeout for fn as a whole, drops it and is a failed attempt
// (a *DialError with phaseSetup), a final one when it is marked with
// backoff.Permanent. Several functions run in order of registration.
//
// Unlike other callbacks fn runs on the goroutine that reads, so that no callback
// that takes its time can delay it. The messages that it receives reach all other
// callbacks as well, after OnOpen; those of an opening that failed reach none.
// While fn runs no heartbeat is sent. A Send, Flush or Request of the Client
// inside fn waits for what comes after fn. The context of fn ends with the
// timeout, with Close, and when the attempt is restarted: by Reconnect, or because the
// network that it uses has gone.
//
// Call AfterConnect before Connect; it has no effect on a connection that is there
// already. A nil fn or a timeout that is not above zero is an error, reported to
// OnError and by the next Connect.
func (c *Client) AfterConnect(timeout time.Duration, fn func(ctx context.Context, o *Setup) error) (remove func()) {
	switch {
	case fn == nil:
		return c.badCallback("AfterConnect", "")
	case timeout <= 0:
		return c.misuse(&OptionError{Option: "AfterConnect", Value: timeout.String(), Want: "the timeout must be longer than zero"})
	}
	return c.afterConnect.add(func(ctx context.Context, o *Setup) {
		if o.err != nil {
			return
		}
		cause := fmt.Errorf("not done within %v: %w", timeout, context.DeadlineExceeded)
		ctx, cancel := context.WithTimeoutCause(ctx, timeout, cause)
		defer cancel()
		o.err = apart(func() error { return fn(ctx, o) })
	})
}

// opening lets protocol layers have the connection to themselves.
func (s *session) opening(ctx context.Context, l *link, attempt int) error {
	o := &Setup{Connection: l.number, Attempt: attempt, link: l}
	s.client.afterConnect.call(ctx, o, func(err error) { o.err = err })
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	if o.err == nil {
		select {
		case <-l.dead: // and fn has ignored what it was told
			o.err = l.cause
		default:
		}
	}
	if o.err != nil {
		return &DialError{Phase: phaseSetup, Err: o.err, text: trimPrefix(o.err)}
	}
	return nil
}

// Send encodes v with the codec and writes it at once, ahead of everything that is
// queued. It blocks while the socket is slow to take it. When ctx ends the
// connection is dropped and the error is the cause of that.
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
		return errOpeningOver
	}
	return o.link.until(ctx, func() error { return o.link.conn.Write(m.messageType(), m.Data) })
}

// Receive waits for the next message, with or without a type. Only text that is not
// valid UTF-8 is skipped. When ctx ends the connection is dropped and the error is the
// cause of that. A *CloseError means that the connection has ended. More messages than
// the inbox holds are an error.
func (o *Setup) Receive(ctx context.Context) (Message, error) {
	if err := needContext(ctx, "Setup.Receive"); err != nil {
		return Message{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.link
	for !o.over {
		if len(l.early) >= inboxMessages || o.bytes >= inboxBytes {
			return Message{}, fmt.Errorf("wechatws: still opening after %d messages of %d bytes", len(l.early), o.bytes)
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
	return Message{}, errOpeningOver
}

// HoldQueue has the messages that wait in the queue, and those that are sent meanwhile,
// wait for another d after the connection is open. It is for servers that need a moment
// between their answer and what they accept. Everything else goes on: messages are
// received, heartbeats are sent, and when the connection ends in that time the messages
// wait for the next one. The longest d counts. It does not block.
func (o *Setup) HoldQueue(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		o.link.hold = max(o.link.hold, d)
	}
}
