package wechatws

import (
	"context"
	"time"
)

// What a peer says in the last messages before it closes a connection, such as "do not come back", a
// program learns in callbacks, which may have to wait for others. So after the end of a connection
// the callbacks of its messages run before [WithRetryIf] is asked and before anything is dialed. The
// wait of the schedule runs meanwhile. There are three exceptions: callbacks that take longer than
// verdictTimeout; a callback that itself waits in a call of the client, which may need the next
// connection; and Reconnect, which dials at once.

// verdictTimeout bounds the wait for the callbacks of a connection that has ended.
const verdictTimeout = 10 * time.Second

// A verdict is the wait for the callbacks of a connection that has ended. Its methods are called with
// the client's mutex held.
type verdict struct {
	calls int                // how many callbacks wait in a call of the client
	give  context.CancelFunc // ends the wait; nil: there is none
	due   bool               // the next attempt is due
}

// end ends the wait, if there is one.
func (v *verdict) end() {
	if v.give != nil {
		v.give()
	}
}

// isDue is called when the next attempt is due.
func (v *verdict) isDue() {
	if v.due = v.give != nil; v.calls > 0 {
		v.end()
	}
}

// atOnce is a context that has ended.
var atOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// awaitVerdict blocks until the first upTo items of the inbox have run, with the exceptions above. The
// next attempt is due after d.
func (s *session) awaitVerdict(upTo int64, d time.Duration) {
	c := s.client
	ctx, cancel := context.WithTimeout(context.Background(), verdictTimeout)
	defer cancel()
	c.mu.Lock()
	c.verdict.give, c.verdict.due = cancel, false
	if s.hasRetired() || c.forced { // also since the connection has ended
		cancel()
	}
	c.mu.Unlock()
	due := time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.verdict.isDue()
	})
	defer due.Stop()
	_ = c.inbox.Wait(ctx, upTo)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verdict.give, c.verdict.due = nil, false
}

// waits records that the callback with the context ctx, if it is one of this client, waits in a call
// of the client, until end is called.
func (c *Client) waits(ctx context.Context) (end func()) {
	if !c.insideCallback(ctx) {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &c.verdict
	if v.calls++; v.due {
		v.end()
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		v.calls--
	}
}
