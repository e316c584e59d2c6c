package wechatws

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Client stays connected to one WebSocket server. Make it with [New], register
// callbacks, then call [Client.Connect] or [Client.Run]. All its methods may be called from
// any goroutine, in any callback, and in any other function that it calls; each is bounded
// by its context or as it says.
type Client struct {
	cfg        config
	dispatcher *dispatcher
	queue      queue
	requests   requests
	rtt        roundTrips

	onMessage, onUnknown hooks[Message]
	afterConnect         hooks[*Setup]
	onOpen               hooks[OpenEvent]
	onClose              hooks[CloseEvent]
	onError              hooks[error]
	onStateChange        hooks[StateChange]
	onNetworkChange      hooks[NetworkStatus]

	uncompressed atomic.Bool // the server has shown that it cannot compress
	addresses    addresses

	types typeTable

	mu       sync.Mutex
	host     string // of the endpoint; with an endpoint function, of the newest
	state    State
	attempt  int
	stats    Stats         // what is counted under mu
	session  *session      // nil while nothing of it runs
	done     chan struct{} // see Done
	sessions int           // how many there have been
	misuses  []error       // for the next Connect

	connections int   // how many there have been, also those that did not open
	newest      *link // the last of them, also while it is opening; nil once it has ended

	messagesIn, bytesIn, droppedCount atomic.Int64

	dropMu sync.Mutex
	drops  map[error]*DroppedError // by reason, not told to OnError yet
}

// New makes a client for a ws or wss URL; http and https are taken as those. Up to three
// redirects of a handshake are followed, and only on the same host. It
// does no I/O. All wrong options are reported together, as *OptionError. A panic in an
// option is not recovered.
func New(url string, options ...Option) (*Client, error) {
	c := &Client{cfg: defaultConfig(), done: make(chan struct{})}
	for _, option := range options {
		if option == nil {
			option = setting("New", func(*config) error { return wrong("New", "nil", "an option must not be nil") })
		}
		option(&c.cfg)
	}
	if err := c.cfg.check(url); err != nil {
		return nil, err
	}
	c.host = c.cfg.host
	c.dispatcher = newDispatcher(c.route, c.ended)
	c.queue.cfg, c.queue.dropped = &c.cfg, c.dropped
	c.keepJournal()
	return c, nil
}

// State is where the client is now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// move is the one way from state to state. It returns the change with all that it
// tells. It is called with mu held.
func (c *Client) move(change StateChange) StateChange {
	s := c.session
	change.From, change.At = c.state, time.Now()
	change.session = c.sessions + 1
	if s != nil {
		change.session = s.number
	}
	if !change.From.mayBecome(change.To) {
		c.reportLater(s, fmt.Errorf("wechatws: internal error: illegal move from %v to %v", change.From, change.To))
		return change
	}
	c.state, c.attempt = change.To, change.Attempt
	c.stats.moved(change)
	c.dispatcher.event(s, func(ctx context.Context) { c.onStateChange.call(ctx, change, c.reporter(ctx)) })
	return change
}

// Reconnect drops the open connection, or cuts a wait short, or starts the
// attempt under way anew, and tries now; without a network too. Called after a
// connection has ended and before the wait that follows, as in OnClose, OnError, a
// trace hook or the function of WithRetryIf, it replaces that wait. A permanent failure
// ends the client all the same. A client that calls Reconnect after each
// failure has no schedule: it tries again and again without a pause.
//
// Reconnect does not block, whatever a Conn of the user's does. It returns [ErrNotOpen]
// before the first Connect, and [ErrClosed] once Shutdown or Close was called, or after a
// failure.
func (c *Client) Reconnect() error {
	c.mu.Lock()
	s := c.session
	if s == nil || s.retired {
		idle := c.state == StateIdle
		c.mu.Unlock()
		if idle {
			return ErrNotOpen
		}
		return ErrClosed
	}
	s.forced = true
	s.tryNow(true)
	l := s.link
	c.mu.Unlock()
	if l != nil {
		l.fail(&CloseError{Code: StatusAbnormalClosure, Err: ErrReconnect, requested: true})
	}
	return nil
}

// Disconnect ends a connection that is open, without a close handshake, as a peer that
// has gone silent is dropped; the next one follows by the schedule. It is for
// who can judge the peer by what it says. connection is the number found in
// Message, OpenEvent and Setup, and cause, which must not be nil, the reason
// that CloseEvent and StateChange tell.
//
// Disconnect does not block, whatever a Conn of the user's does. It returns [ErrNotOpen]
// when that connection is not open.
func (c *Client) Disconnect(connection int, cause error) error {
	if cause == nil {
		return &OptionError{Option: "Disconnect", Value: "nil", Want: "cause must be an error"}
	}
	cause = protect(func() error { return cause })
	c.mu.Lock()
	s := c.session
	var l *link
	if s != nil && !s.retired {
		l = s.link
	}
	c.mu.Unlock()
	if l == nil || l.number != connection {
		return ErrNotOpen
	}
	l.fail(&CloseError{Code: StatusAbnormalClosure, Err: cause, requested: true})
	return nil
}

// insideCallback reports whether ctx is that of the callback of this client that runs
// now, or was made from it.
func (c *Client) insideCallback(ctx context.Context) bool {
	d := deliveryOf(ctx)
	return d != nil && d == c.dispatcher.running.Load()
}

// dropped is told by the queue what it drops, and why. A callback that runs for
// long must not make the news of it grow without bound.
func (c *Client) dropped(m Outbound, why error) {
	c.droppedCount.Add(1)
	c.dropMu.Lock()
	defer c.dropMu.Unlock()
	drops := c.drops[why]
	if drops == nil {
		drops = &DroppedError{Err: why}
		if c.drops == nil {
			c.drops = map[error]*DroppedError{}
		}
		c.drops[why] = drops
		c.dispatcher.event(nil, func(ctx context.Context) {
			c.dropMu.Lock()
			delete(c.drops, why)
			c.dropMu.Unlock()
			trace(ctx, c, c.cfg.trace.dropped, drops)
			c.report(ctx, drops)
		})
	}
	if len(drops.Messages) < c.cfg.queueMessages {
		drops.Messages = append(drops.Messages, m)
	} else {
		drops.More++
	}
}
