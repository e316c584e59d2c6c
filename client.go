package wechatws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/internal/addresses"
	"github.com/wechatws/wechatws/internal/outbox"
	"github.com/wechatws/wechatws/internal/printable"
	"github.com/wechatws/wechatws/internal/serial"
)

// A Client stays connected to one WebSocket server. Make it with [New], register callbacks,
// then call [Client.Connect] or [Client.Run]. All its methods may be called from any
// goroutine, in any callback, and in any other function that the client calls. Each method
// that blocks is bounded by its context, or by what its documentation says.
type Client struct {
	// Set by New.
	cfg    *config // a pointer: fmt prints a Client in an unexported field of another value by its fields
	inbox  *serial.Queue
	outbox *outbox.Outbox[outgoing]

	// What outlives a session. Each of these may be used from any goroutine.
	registered
	confirmations confirmations
	requests      requests
	addresses     addresses.Memory
	rtt           roundTrips
	drops         drops
	keeps         keeps

	// Used for each message, and so without a mutex.
	counters
	attached     atomic.Pointer[link] // the one that may write; nil: none
	uncompressed atomic.Bool          // the server has violated permessage-deflate
	answersPings atomic.Bool          // the server has answered a ping

	// Mutexes are locked in this order: Client, confirmations, writer, heartbeat or link or
	// Outbox, requests, drops, Queue, and then all others, see docs/design.md. None is held while
	// a function of the user runs.

	mu sync.Mutex // guards the fields below
	current
	history     history
	host        string // of the endpoint; with an endpoint function, of its last result
	sessions    int    // how many there have been
	connections int    // how many there have been, also those that were never open
	quietFirst  bool   // the peer may have refused the login on the last one, see refused.go
	refusals    refusals
	endedAtBeat int // how many connections in a row, see blameBeat
	verdict     verdict
	discard     context.CancelFunc // ends the context of the last session's callbacks; nil: there was none
	done        chan struct{}      // see Done
	closed      chan struct{}      // closed and replaced by each Close, CloseNow and Shutdown
	misuses     []error            // returned by the next Connect
}

// New returns a client for a URL of the scheme ws or wss; http and https mean the same. Spaces
// and non-ASCII characters in the URL are escaped. New does no I/O, and does not block. Its error joins an [*OptionError] for each wrong option;
// a panic in an option is not recovered. The client will follow up to three redirects of a
// handshake, on the same host only; see [WithCrossHostRedirects].
func New(url string, options ...Option) (*Client, error) {
	cfg := defaultConfig()
	c := &Client{cfg: &cfg, done: make(chan struct{}), closed: make(chan struct{})}
	for _, option := range options {
		if option == nil {
			option = setting("New", func(*config) error { return wrong("New", "nil", "an option must not be nil") })
		}
		option(c.cfg)
	}
	if err := c.cfg.check(url); err != nil {
		return nil, err
	}
	c.host = c.cfg.host
	c.requests.lastID.Store(firstID())
	c.inbox = serial.New(inboxMessages, inboxBytes, c.ended)
	if c.cfg.key != nil {
		c.inbox.Parallel(c.cfg.parallel)
	}
	c.outbox = c.newOutbox()
	if c.cfg.logger != nil {
		j := newJournal(c.cfg.logger)
		c.cfg.trace = c.cfg.trace.with(j.trace())
		j.listen(c)
	}
	return c, nil
}

// State returns the current state.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.history.state
}

// move makes a state change and dispatches it; nothing else sets the state. It returns the
// change with all its fields set. It is called with mu held.
func (c *Client) move(change StateChange) StateChange {
	s := c.session
	change.From, change.At = c.history.state, time.Now()
	change.session = c.sessions + 1
	if s != nil {
		change.session = s.number
	}
	if !change.From.mayBecome(change.To) {
		c.reportLater(s, fmt.Errorf("wechatws: internal error: illegal move from %v to %v", change.From, change.To))
		return change
	}
	c.history.moved(change)
	c.event(s, func(ctx context.Context) { c.onStateChange.call(ctx, change, c.reporter(ctx)) })
	return change
}

// String returns the endpoint's host and the state, such as "client of live.example.com,
// open". With [WithEndpoint] the host is known from the first attempt on. Printed and in a log
// a Client shows nothing else, since its options hold secrets. String does not block.
func (c *Client) String() string {
	host, state := c.shown()
	if host != "" {
		host = " of " + host
	}
	return fmt.Sprintf("client%s, %v", host, state)
}

// Format implements [fmt.Formatter], with what String returns for all verbs.
func (c *Client) Format(s fmt.State, verb rune) {
	printable.Format(s, verb, "wechatws.Client", c.String())
}

// LogValue implements [slog.LogValuer], with a group of the attributes host and state.
func (c *Client) LogValue() slog.Value {
	host, state := c.shown()
	return slog.GroupValue(slog.String("host", host), slog.String("state", state.String()))
}

func (c *Client) shown() (host string, state State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return printable.Text(c.host), c.history.state
}

// Connect connects, and returns nil at the first open connection, when the login is
// written and the [Client.AfterConnect] functions have returned. From then on the client
// stays connected until [Client.Close] or [Client.Shutdown]. Connect blocks until then:
// failed attempts are repeated by the schedule (see [WithBackOff]), so that it returns an
// error only when that is permanent or ctx ends. If the program has neither [WithLogger] nor
// [WithTrace] nor an [Client.OnError] callback, the first failure before the first open connection
// is logged with [slog.Default]. Before it returns a permanent error, it waits for
// the callbacks of the last events: until ctx ends, and for no longer than Close may take.
//
// When ctx ends before the first open connection, the client is closed, and the error is
// the cause of ctx's end, joined with the [*UndeliveredError] if messages are left. ctx is
// not used after Connect returns, except for its values, which callbacks see.
//
// Connect returns [ErrAlreadyConnected] while the client is connected or connecting, and
// [ErrClosed] when Close is called meanwhile. After Close or a permanent failure it starts
// anew with the same callbacks, and delivers what a failure has left in the queue. Before
// that it waits, until ctx ends, for functions other than callbacks that the session before
// still runs, such as a slow endpoint function; called in one of these, with its context, it
// returns ErrAlreadyConnected. It may be called from any goroutine.
//
// It mirrors the original's initWebSocket, which does nothing when it is "already logged
// in".
func (c *Client) Connect(ctx context.Context) error {
	s, err := c.start(ctx, "Connect")
	switch {
	case err != nil:
		return err
	case s == nil:
		_, left := c.running()
		return errors.Join(context.Cause(ctx), left)
	}
	select {
	case <-s.opened:
		return nil
	case <-s.over:
	case <-ctx.Done():
	}
	switch {
	case isClosed(s.opened): // perhaps with one of the others
		return nil
	case s.isOver():
		if s.err == nil {
			return ErrClosed
		}
		c.awaitCallbacks(ctx, s)
		return s.err
	}
	s.cancel()
	return errors.Join(context.Cause(ctx), c.end(s, StatusGoingAway, "", context.Cause(ctx)))
}

// Run connects, stays connected, and blocks until the client has ended. It returns nil when
// ctx has ended or [Client.Close], [Client.CloseNow] or [Client.Shutdown] was called, and
// every accepted message was written; the [*UndeliveredError] when messages are left, also
// if Close has returned it already; or the permanent error of a client that has failed.
// Like [Client.Connect] it returns [ErrAlreadyConnected]. It suits an errgroup.
//
// When ctx ends, Run closes the client as Close does, with code 1001. In each case it then
// waits for the callbacks that are pending, but for no longer than the drain timeout (see
// [WithDrainTimeout]) plus 2 s after the end began.
func (c *Client) Run(ctx context.Context) error {
	s, err := c.start(ctx, "Run")
	switch {
	case err == ErrClosed:
		return nil
	case err != nil:
		return err
	case s == nil:
		_, left := c.running()
		return left
	}
	select {
	case <-s.over:
	case <-ctx.Done():
		s.cancel()
		_ = c.end(s, StatusGoingAway, "", context.Cause(ctx)) // outcome has it
	}
	c.awaitCallbacks(context.WithoutCancel(ctx), s)
	return s.outcome()
}

// awaitCallbacks waits for the callbacks of s, which is over, until ctx ends, but for no
// longer than Close may take.
func (c *Client) awaitCallbacks(ctx context.Context, s *session) {
	defer exempt(ctx)()
	ctx, cancel := context.WithDeadline(ctx, s.ends)
	defer cancel()
	_ = c.inbox.Wait(ctx, s.last)
}

// start starts a session. It waits until the one before is done, and returns nil when ctx
// ends before that, or ErrClosed when the client is closed. verb is for its errors.
func (c *Client) start(ctx context.Context, verb string) (*session, error) {
	if err := needContext(ctx, verb); err != nil {
		return nil, err
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	var schedule *schedule
	if err := users.Apart(func() (err error) { schedule, err = newSchedule(c.cfg); return err }); err != nil {
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
		closing := c.closing
		c.mu.Unlock()
		if !closing || ctx.Value(sessionKey{}) == old {
			return nil, ErrAlreadyConnected
		}
		select {
		case <-old.done:
		case <-closed:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, nil
		}
	}
	defer c.mu.Unlock()
	switch {
	case isClosed(closed):
		return nil, ErrClosed
	case ctx.Err() != nil:
		return nil, nil
	}
	c.sessions++
	s := &session{
		client:   c,
		number:   c.sessions,
		schedule: schedule,
		opened:   make(chan struct{}),
		quit:     make(chan struct{}),
		over:     make(chan struct{}),
		done:     make(chan struct{}),
		wake:     make(chan struct{}, 1),
	}
	ctx = users.Context(ctx, func(err error) { c.reportLater(s, err) })
	// ctx may be the context of a callback, which does not make this session's functions
	// part of that callback.
	ctx = context.WithValue(context.WithoutCancel(ctx), deliveryKey{}, (*delivery)(nil))
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.graceful, s.cut = context.WithCancel(context.Background())
	c.session = s
	c.notEnded()
	c.confirmations.accept(nil)
	c.outbox.Refuse(nil)
	go s.start()
	return s, nil
}

// Close is the manual close: it closes the connection with a code and a reason of at most
// 123 bytes, and no reconnect follows until [Client.Connect] or [Client.Run] is called. The
// queue is written first, for no longer than the drain timeout; Close returns the
// [*UndeliveredError] of the messages that are left. No callback for a message begins after the
// call: what has arrived and was not handled is discarded. Shutdown has it handled.
//
// Close blocks for no longer than the drain timeout (see [WithDrainTimeout]) plus 2 s for
// the close handshake, also in a callback: it never waits for callbacks or other functions
// of the user. It ends the context of the callback that runs, and dispatches the last
// events; to wait for these callbacks, use [Client.Done] or [Client.Shutdown]. When Close
// returns, the state is [StateClosed] and nothing is written any more.
//
// Close may be called in every state, from any goroutine and any number of times. Of
// several concurrent calls one returns what is left. If the code or the reason cannot be
// sent, Close does nothing and returns an [*OptionError].
//
// It mirrors the original's closeWebSocket. Unlike in wx it also ends a connection
// that is not open yet.
func (c *Client) Close(code StatusCode, reason string) error {
	if err := checkClose("Close", code, reason); err != nil {
		return err
	}
	s, left := c.running()
	if s == nil {
		c.discardCallbacks()
		return left
	}
	s.cancel()
	return c.endOrClose(s, code, reason)
}

// CloseNow is [Client.Close] without draining the queue and without a close handshake: the
// connection ends at once, as if the process had died, and CloseNow returns the [*UndeliveredError]
// of what is left, unless a concurrent call has returned it. A Close or [Client.Shutdown] under way
// ends at once too. CloseNow does not block, and may be called from any goroutine.
func (c *Client) CloseNow() error {
	s, left := c.running()
	if s == nil {
		c.discardCallbacks()
		return left
	}
	s.cut()
	s.cancel()
	return c.endOrClose(s, StatusAbnormalClosure, "")
}

// Shutdown is the graceful end: no reconnect follows, and the client ends in steps.
//
//  1. Callbacks that run, and those of messages that had arrived before, finish; they may
//     send. Messages that arrive later reach no callback, only [Client.Request] and
//     [Client.SendConfirmed].
//  2. The queue is written, and SendConfirmed gets its confirmations.
//  3. The connection is closed with code 1000; the close handshake takes at most 2 s.
//  4. The callbacks of the last events run.
//
// Shutdown blocks until all of this is done, and returns nil. When ctx ends, it goes on as
// [Client.CloseNow] does, and returns the cause of ctx's end, joined with the
// [*UndeliveredError] if messages are left. It returns that error alone for the queue of a
// client without an open connection. Of several calls of Shutdown, [Client.Close] and
// CloseNow at a time, one returns the messages that are left. Messages that are held back by
// [Setup.HoldQueue] are waited for.
//
// In a callback, give Shutdown the context of the callback, or one derived from it. It does
// not wait for the callback then; nor does any concurrent Shutdown, of any client. With
// another context it waits for the callback until ctx ends. Shutdown may be called from any
// goroutine.
func (c *Client) Shutdown(ctx context.Context) error {
	if err := needContext(ctx, "Shutdown"); err != nil {
		return err
	}
	defer exempt(ctx)()
	s, left := c.running()
	if s == nil {
		defer context.AfterFunc(ctx, c.discardCallbacks)()
		return errors.Join(c.inbox.Wait(ctx, c.inbox.Added()), left)
	}
	defer context.AfterFunc(ctx, s.cut)()
	defer context.AfterFunc(s.graceful, s.cancel)()
	c.mu.Lock()
	var l *link
	if c.session == s { // otherwise it has ended meanwhile
		s.retire()
		l = c.link
	}
	c.mu.Unlock()
	c.inbox.Wake() // the reader does not wait for room any more
	if l != nil {
		l.reader.HandOff()
	}
	_ = c.inbox.Wait(s.graceful, c.inbox.Added())
	if l != nil {
		c.finishSending(s.graceful, l)
	}
	left = c.endOrClose(s, StatusNormalClosure, "")
	if c.inbox.Wait(s.graceful, s.last) != nil || s.cutShort {
		return errors.Join(context.Cause(ctx), left) // after CloseNow the cause is nil
	}
	return left
}

// Done returns a channel that is open before the first Connect, and closed when the client has been
// closed or has failed and all its goroutines have returned, those that run callbacks and other
// functions of the user included. [Client.Connect] and [Client.Run] replace a closed channel with a
// new one. So do [Client.Close], [Client.CloseNow] and [Client.Shutdown] of a client that has failed, since
// one more event follows.
func (c *Client) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// notEnded makes done open. It is called with the mutex held.
func (c *Client) notEnded() {
	if isClosed(c.done) {
		c.done = make(chan struct{})
	}
}

// ended closes done if no goroutine of the client is left.
func (c *Client) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil || !c.history.state.terminal() || !c.inbox.IsIdle() {
		return
	}
	if !isClosed(c.done) {
		close(c.done)
	}
}
