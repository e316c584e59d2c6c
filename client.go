package wechatws

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Client stays connected to one WebSocket server. Make it with [New], register callbacks,
// then call [Client.Connect] or [Client.Run]. All its methods may be called from any
// goroutine, in any callback, and in any other function that the client calls. Each method
// that blocks is bounded by its context, or by what its documentation says.
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

	types typeTable

	uncompressed atomic.Bool // the server has violated permessage-deflate
	addresses    addresses

	messagesIn, bytesIn, droppedCount atomic.Int64

	mu          sync.Mutex // guards the fields below, up to dropMu, and those of session and link that say so
	host        string     // of the endpoint; with an endpoint function, of its last result
	state       State
	attempt     int           // of the state, see StateChange
	stats       Stats         // the counters that are not elsewhere
	session     *session      // nil: none, or it is done
	sessions    int           // how many there have been
	done        chan struct{} // see Done
	closed      chan struct{} // closed and replaced by each Close, CloseNow and Shutdown
	misuses     []error       // returned by the next Connect
	connections int           // how many there have been, also those that were never open
	newest      *link         // the last of these, also before it is open; nil: it has ended

	dropMu sync.Mutex              // guards drops
	drops  map[error]*DroppedError // by reason; not passed to OnError yet
}

// New returns a client for a URL of the scheme ws or wss; http and https mean the same. It
// does no I/O, and does not block. Its error joins an [*OptionError] for each wrong option;
// a panic in an option is not recovered. The client will follow up to three redirects of a
// handshake, on the same host only.
func New(url string, options ...Option) (*Client, error) {
	c := &Client{cfg: defaultConfig(), done: make(chan struct{}), closed: make(chan struct{})}
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

// State returns the current state.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// move makes a state change and dispatches it; nothing else sets the state. It returns the
// change with all its fields set. It is called with mu held.
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

// Reconnect makes the next attempt at once, also without a network: it ends the open
// connection, the wait, or the attempt under way. Called between the end of a connection or
// an attempt and the wait that follows, as in [Client.OnClose], [Client.OnError], a function
// of [WithTrace] or of [WithRetryIf], it replaces that wait. A permanent failure ends the
// client all the same. A program that calls Reconnect after each failure disables the
// schedule: attempts follow each other without a pause.
//
// Reconnect does not block, and may be called from any goroutine. It returns [ErrNotOpen]
// before the first [Client.Connect], and [ErrClosed] after [Client.Shutdown], [Client.Close]
// or a permanent failure.
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

// Disconnect ends an open connection without a close handshake, as the client does with a
// half-open one; the next attempt follows by the schedule. Use it when only the application
// can recognise that the peer does not work any more. connection is the number of the
// connection in [Message], [OpenEvent] and [Setup]; cause becomes the Err of [CloseEvent] and
// [StateChange], and must not be nil.
//
// Disconnect does not block, and may be called from any goroutine. It returns [ErrNotOpen]
// if that connection is not open, and an [*OptionError] for a nil cause.
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

// insideCallback reports whether ctx is the context of the callback of this client that runs
// now, or is derived from it.
func (c *Client) insideCallback(ctx context.Context) bool {
	d := deliveryOf(ctx)
	return d != nil && d == c.dispatcher.running.Load()
}

// dropped records a message that the queue has dropped. Those with the same reason are
// reported together, with a bound, so that a slow callback does not make them pile up. It is
// called with the queue's mutex held.
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
