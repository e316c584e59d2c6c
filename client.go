package wechatws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// A Client stays connected to one WebSocket server. Make it with New, register
// callbacks, then call Connect or Run. All its methods may be called from any
// goroutine and from inside any callback.
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
	stats    Stats    // what is counted under mu
	session  *session // nil while nothing runs
	sessions int      // how many there have been
	misuses  []error  // for the next Connect

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
	c := &Client{cfg: defaultConfig()}
	for _, option := range options {
		if option == nil {
			c.cfg.wrong("New", "nil", "an option must not be nil")
			continue
		}
		option(&c.cfg)
	}
	if err := c.cfg.check(url); err != nil {
		return nil, err
	}
	c.host = c.cfg.host
	c.dispatcher = newDispatcher(c.route)
	c.queue.cfg, c.queue.dropped = &c.cfg, c.dropped
	c.keepJournal()
	return c, nil
}

// Connect connects, and returns nil at the first open connection, with the login
// written. From then on the client stays connected until Close. Between attempts
// it follows the schedule, so that Connect returns an error only when that is
// final, or when ctx ends, which closes the client; ctx has no say any more once
// Connect has returned. Its values are seen by callbacks.
//
// It returns ErrAlreadyConnected while the client is connected or connecting, and
// ErrClosed when Close ended it. After Close or a failure it starts afresh, with
// the same callbacks; a queue left by a failure is delivered.
//
// It mirrors the original's initWebSocket, which did nothing when it was "already
// logged in".
func (c *Client) Connect(ctx context.Context) error {
	s, err := c.start(ctx, "Connect")
	if err != nil {
		return err
	}
	select {
	case <-s.opened:
		return nil
	case <-s.done:
	case <-ctx.Done():
	}
	select {
	case <-s.opened:
		return nil
	default:
	}
	if err := c.over(ctx, s); err != nil {
		return err
	}
	return ErrClosed
}

// Run connects, stays connected, and returns when it is over: nil after Close,
// the final error after a failure, and when ctx ends, which closes the client as
// Close does (with code 1001), the cause of that, joined with what could not be
// delivered. It suits an errgroup. It returns ErrAlreadyConnected as Connect
// does.
func (c *Client) Run(ctx context.Context) error {
	s, err := c.start(ctx, "Run")
	if err != nil {
		return err
	}
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	return c.over(ctx, s)
}

// start begins a session.
func (c *Client) start(ctx context.Context, verb string) (*session, error) {
	if err := needContext(ctx, verb); err != nil {
		return nil, err
	}
	var schedule *schedule
	if err := apart(func() (err error) { schedule, err = newSchedule(&c.cfg); return err }); err != nil {
		return nil, err
	}
	for {
		c.mu.Lock()
		if errs := c.misuses; len(errs) > 0 {
			c.misuses = nil
			c.mu.Unlock()
			return nil, errors.Join(errs...)
		}
		old := c.session
		if old == nil {
			break
		}
		closing := old.closing
		c.mu.Unlock()
		if _, owned := inside(); !closing || owned {
			return nil, ErrAlreadyConnected
		}
		select {
		case <-old.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c.sessions++
	s := &session{
		client:   c,
		number:   c.sessions,
		schedule: schedule,
		opened:   make(chan struct{}),
		done:     make(chan struct{}),
		wake:     make(chan struct{}, 1),
	}
	ctx = context.WithValue(context.WithoutCancel(&userContext{Context: ctx, session: s}), clientKey{}, c)
	s.ctx, s.cancel = context.WithCancel(ctx)
	c.session = s
	c.queue.accept(nil)
	go s.run(0, nil)
	return s, nil
}

// over waits for the end of s, and brings it about when ctx has ended.
func (c *Client) over(ctx context.Context, s *session) error {
	select {
	case <-s.done:
		c.waitIdle()
		return s.err
	default:
	}
	left := c.end(s, StatusGoingAway, "", context.Cause(ctx), false)
	return errors.Join(s.err, left)
}

// Close is the manual close: it ends the connection with a code and a reason of
// at most 123 bytes, and no reconnect follows, until Connect or Run. What is
// queued is written first, for no longer than the drain timeout; what is left is
// handed back in an *UndeliveredError. Messages that arrive from now on reach no
// callback.
//
// Close works in every state and may be called any number of times, and from
// inside callbacks. It returns when all goroutines of the client are gone; the
// context of a callback that runs has ended then, and Close waits for it, except
// from inside a callback. It takes no longer than the drain timeout and a close
// handshake of 2 s. An *OptionError about the code or the reason means that
// nothing was done.
//
// It mirrors the original's closeWebSocket. Unlike in wx it also ends a
// connection that is not open yet.
func (c *Client) Close(code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	c.mu.Lock()
	if s := c.session; s != nil {
		c.mu.Unlock()
		return c.end(s, code, reason, nil, false)
	}
	c.queue.close()
	left := c.queue.takeBack(ErrClosed)
	if c.state != StateClosed {
		c.move(StateChange{To: StateClosed})
	}
	c.mu.Unlock()
	c.waitIdle()
	return left
}

// CloseNow is Close without a word: the connection ends at once, nothing more is written to
// it, and the peer sees what it would see if the process had died. It also cuts short
// a Close that is under way. What is queued is handed back, as by Close; it returns when all
// goroutines of the client are gone, for which it waits as Close does.
func (c *Client) CloseNow() error {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		return c.Close(StatusNormalClosure, "")
	}
	return c.end(s, StatusAbnormalClosure, "", nil, true)
}

// end closes a session. The first to call it closes the link and gets what was
// left, all others only wait. With now nobody says good-bye.
func (c *Client) end(s *session, code StatusCode, reason string, cause error, now bool) (left error) {
	c.mu.Lock()
	first := !s.closing && c.session == s
	if first {
		s.closing, s.cause = true, cause
		s.cancel()
		if s.retry != nil {
			s.retry(context.Canceled) // no link can open from here on
		}
		c.queue.close()
	}
	l := s.link
	c.mu.Unlock()

	if l != nil {
		l.relieve()
		if now {
			l.fail(&CloseError{Code: code})
		}
	}
	if first {
		c.dispatcher.wake()
		c.requests.lost(&c.queue, nil, ErrClosed)
		if l != nil && !now {
			drain, cancel := context.WithTimeout(context.Background(), c.cfg.drainTimeout)
			c.queue.drain(drain, l)
			cancel()
			l.close(code, reason)
		}
	}
	if _, owned := inside(); owned { // the session cannot end before this returns
		if first {
			left = c.queue.takeBack(ErrClosed)
		}
		return left
	}
	<-s.done
	c.waitIdle()
	if first {
		left = s.left
	}
	return left
}

// waitIdle waits for the callbacks to end, unless it is one of them that waits.
func (c *Client) waitIdle() {
	if dispatching, owned := inside(); !dispatching && !owned {
		c.dispatcher.waitIdle()
	}
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
	c.dispatcher.event(func() {
		ctx := s.eventContext()
		c.onStateChange.call(ctx, change, func(err error) { c.report(ctx, err) })
	})
	return change
}

// currentSession is the number of the session that runs, or of the next one, and
// whether the client has ended and there may be none.
func (c *Client) currentSession() (number int, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return c.session.number, false
	}
	return c.sessions + 1, c.state.terminal()
}

// Send encodes v with the codec and accepts it for delivery as a text message.
// A nil error means accepted: it is written at once when the connection is open,
// in the order of acceptance, or as soon as there is one; otherwise it is handed
// back by Close in an *UndeliveredError, or named in a *DroppedError. It does not
// mean that the peer has read it.
//
// Send does not wait for the network, except where WithQueue says so. The codec runs on the
// caller's goroutine, which a panic in it reaches. Options are
// for this one message. It returns
// the codec's error, ErrQueueFull, ErrClosed after Close or a failure, ErrNotOpen
// without a queue, or the cause of ctx's end.
//
// It is the original's sendWebSocketMsg, with its fail as the error.
func (c *Client) Send(ctx context.Context, v any, options ...SendOption) error {
	m, err := encode(c.cfg.codec, v)
	if err != nil {
		return err
	}
	return c.accept(ctx, "Send", m, v, options)
}

// SendText is Send for text that is encoded already. It must be valid UTF-8.
func (c *Client) SendText(ctx context.Context, text string, options ...SendOption) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("wechatws: SendText: %w", ErrNotUTF8)
	}
	return c.accept(ctx, "SendText", Outbound{Data: []byte(text)}, nil, options)
}

// SendBinary is Send for a binary message. data is copied.
func (c *Client) SendBinary(ctx context.Context, data []byte, options ...SendOption) error {
	return c.accept(ctx, "SendBinary", Outbound{Binary: true, Data: bytes.Clone(data)}, nil, options)
}

func (c *Client) accept(ctx context.Context, verb string, m Outbound, v any, options []SendOption) error {
	if err := needContext(ctx, verb); err != nil {
		return err
	}
	out, err := newOutgoing(verb, m, v, options)
	if err != nil {
		return err
	}
	return c.queue.push(ctx, out)
}

func encode(codec Codec, v any) (Outbound, error) {
	data, err := codec.Marshal(v)
	if err != nil {
		return Outbound{}, fmt.Errorf("wechatws: cannot encode %T: %w", v, err)
	}
	if !utf8.Valid(data) {
		return Outbound{}, fmt.Errorf("wechatws: cannot encode %T: %w", v, ErrNotUTF8)
	}
	return Outbound{Data: data}, nil
}

// Flush waits until everything that was accepted before is written, or dropped
// by QueueDropOldest. It returns the cause of ctx's end, or ErrClosed when the
// client is closed or fails before that.
func (c *Client) Flush(ctx context.Context) error {
	if err := needContext(ctx, "Flush"); err != nil {
		return err
	}
	return c.queue.flush(ctx)
}

// Reconnect drops the open connection, or cuts a wait short, or starts the
// attempt under way anew, and tries now; without a network too. Called after a
// connection has ended and before the wait that follows, as in OnClose, OnError, a
// trace hook or the function of WithFinalWhen, it replaces that wait. A failure that
// is final ends the client all the same. A client that calls Reconnect after each
// failure has no schedule: it tries again and again without a pause.
//
// Reconnect does not block. It returns ErrNotOpen before the first Connect, and
// ErrClosed after Close or a failure.
func (c *Client) Reconnect() error {
	c.mu.Lock()
	s := c.session
	if s == nil || s.closing {
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
// Disconnect does not block. It returns ErrNotOpen when that connection is not open.
func (c *Client) Disconnect(connection int, cause error) error {
	if cause == nil {
		return &OptionError{Option: "Disconnect", Value: "nil", Want: "cause must be an error"}
	}
	cause = protect(func() error { return cause })
	c.mu.Lock()
	s := c.session
	var l *link
	if s != nil && !s.closing {
		l = s.link
	}
	c.mu.Unlock()
	if l == nil || l.number != connection {
		return ErrNotOpen
	}
	l.fail(&CloseError{Code: StatusAbnormalClosure, Err: cause, requested: true})
	return nil
}

// Request sends v as Send does, and waits for the message that match recognises
// among all that arrive from then on, with or without a type. The answer reaches the
// callbacks as well; when none of them takes it, that is no error. match runs on the
// caller's goroutine, which a panic in it reaches; while it runs no other message is read,
// so it must not wait for one.
//
// Request may be called from inside a callback, where it does not wait for that
// callback to return; see ErrInboxFull for the one case in which that cannot
// work. It returns the errors of Send; ErrQueueFull when the message is dropped by
// QueueDropOldest; ErrConnectionLost when the connection ends
// after the request was written; ErrClosed; or the cause of ctx's end, and v is
// not sent any more then if it still was in the queue.
func (c *Client) Request(ctx context.Context, v any, match func(Message) bool) (Message, error) {
	if match == nil {
		return Message{}, &OptionError{Option: "Request", Value: "nil", Want: "match must be a function"}
	}
	if err := needContext(ctx, "Request"); err != nil {
		return Message{}, err
	}
	m, err := encode(c.cfg.codec, v)
	if err != nil {
		return Message{}, err
	}
	r := newRequest(ctx, m, c.insideOwnCallback(ctx))
	c.requests.add(r)
	defer c.requests.remove(r)
	if r.callback && c.dispatcher.isFull() {
		return Message{}, ErrInboxFull
	}
	if err := c.queue.push(r.ctx, r.sent); err != nil {
		return Message{}, err
	}
	answered := false
	defer func() { // also when match panics
		if !answered {
			c.queue.takeOut(r.sent)
		}
	}()
	answer, err := r.wait(ctx, c, match)
	answered = err == nil
	return answer, err
}

// clientKey is the key of the Client in the contexts of its callbacks.
type clientKey struct{}

// insideOwnCallback tells whether the caller runs inside a callback of this
// client. Should it run inside some callback with a context from elsewhere, it is
// taken for one of this client's.
func (c *Client) insideOwnCallback(ctx context.Context) bool {
	dispatching, _ := inside()
	of, ok := ctx.Value(clientKey{}).(*Client)
	return dispatching && (!ok || of == c)
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
		c.dispatcher.event(func() {
			c.dropMu.Lock()
			delete(c.drops, why)
			c.dropMu.Unlock()
			for _, m := range drops.Messages {
				trace(c, c.cfg.trace.Dropped, Dropped{m, why})
			}
			c.report(context.Background(), drops)
		})
	}
	if len(drops.Messages) < c.cfg.queueMessages {
		drops.Messages = append(drops.Messages, m)
	} else {
		drops.More++
	}
}
