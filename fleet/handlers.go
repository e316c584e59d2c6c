package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/names"
)

// A Message is a message from a room.
type Message struct {
	Room   string
	Type   string // as in [wechatws.Message]
	Data   []byte
	Binary bool
	// Received is the time at which the holder had received all of the message, by the holder's clock.
	Received time.Time
	// Worker and Fence are those of the hold during which the message was received; see [Status].
	Worker string
	Fence  uint64
	// Connection is the number of the connection on which the message was received.
	Connection int
	// Seq is the place of the message in the stream, which identifies it: a message that is
	// handled again has the same.
	Seq uint64
	// Attempt is the number of times that the message has been given to handlers of the group, 1 at
	// first.
	Attempt int
}

// Handlers handles messages from rooms. Make one with [Fleet.NewHandlers], register callbacks with
// [On], then call [Handlers.Run]. Its methods may be called from any goroutine.
type Handlers struct {
	f       *Fleet
	group   string
	cfg     handlersConfig
	onError errorFuncs[Message]

	undecodable, givenUp atomic.Int64

	mu        sync.RWMutex
	callbacks map[string][]func(ctx context.Context, m Message) error // by type
	all       []func(ctx context.Context, m Message) error
}

// NewHandlers makes the handlers of a group, which do nothing until [Handlers.Run]. Each message is
// handled by one process of a group, and by every group. The name of a group is 1 to 32 letters,
// digits, - and _.
//
// NewHandlers returns a *wechatws.OptionError for each option that is wrong, joined.
func (f *Fleet) NewHandlers(group string, options ...HandlersOption) (*Handlers, error) {
	cfg, err := newHandlersConfig(group, options)
	if err != nil {
		return nil, err
	}
	return &Handlers{f: f, group: group, cfg: cfg, callbacks: map[string][]func(context.Context, Message) error{}}, nil
}

// On registers fn for messages of one type, decoded into a T by the fleet's codec. Callbacks for
// one room run one at a time and in order, in one process of the group; those of different rooms
// may run at the same time. The context of fn ends with that of [Handlers.Run].
//
// A message is acknowledged when all of its callbacks have returned nil. After an error or a panic
// it is handled again, see [WithAttempts]; also when the process has died before. So fn may get a
// message that it has handled before: see [Message.Seq].
//
// If a message does not decode into a T, or decoding it panics, the functions of [Handlers.OnError]
// are called instead of fn, which counts as success: no later attempt would decode it. Other
// callbacks for the message are called.
//
// An empty type or a nil fn is a *wechatws.OptionError of [Handlers.Run].
func On[T any](h *Handlers, msgType string, fn func(ctx context.Context, m Message, v T) error) {
	switch {
	case fn == nil:
		h.onError.misuse(wrong("On", fmt.Sprintf("%q, nil", msgType), needsFunction))
		return
	case msgType == "":
		h.onError.misuse(wrong("On", `""`, "must be the type of a message; OnMessage receives every message"))
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.callbacks[msgType] = append(h.callbacks[msgType], func(ctx context.Context, m Message) error {
		var v T
		if err := h.f.decode(m.Data, &v); err != nil {
			return undecodable{&wechatws.DecodeError{Type: m.Type, Data: m.Data, Err: err}}
		}
		return fn(ctx, m, v)
	})
}

// decode returns a panic of the codec, or of a method of v's type, as an error: a later attempt
// would panic as well.
func (f *Fleet) decode(data []byte, v any) error {
	return users.Protect(func() error { return f.cfg.codec.Unmarshal(data, v) })
}

// undecodable is the error of a callback whose message does not decode: no later attempt can succeed. A
// DecodeError that fn itself returns is an ordinary error.
type undecodable struct{ error }

// OnMessage registers fn for every message, before the callbacks of [On], whose rules apply to it.
func (h *Handlers) OnMessage(fn func(ctx context.Context, m Message) error) {
	if fn == nil {
		h.onError.misuse(wrong("Handlers.OnMessage", "nil", needsFunction))
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, fn)
}

// OnError registers fn for each error and panic of a callback, and for the *wechatws.DecodeError of
// a message that does not decode into the type of its callback, or whose decoding panics. They are
// logged, too. fn is called on several goroutines, and should not block: the messages of the room
// wait for it. Call OnError before [Handlers.Run], or the first errors may be missed.
func (h *Handlers) OnError(fn func(m Message, err error)) {
	h.onError.add("Handlers.OnError", fn)
}

// Run handles messages until ctx ends, and returns nil when the running callbacks have returned. It
// returns an error only if it cannot begin.
func (h *Handlers) Run(ctx context.Context) error {
	if err := h.onError.misused(); err != nil {
		return err
	}
	var consumers []jetstream.Consumer
	for p := range h.f.settled.Partitions {
		var c jetstream.Consumer
		err := h.f.retry(ctx, func(ctx context.Context) (err error) {
			c, err = h.consumer(ctx, p)
			return err
		})
		if err != nil {
			return fmt.Errorf("fleet: group %q: %w", h.group, err)
		}
		consumers = append(consumers, c)
	}
	var working sync.WaitGroup
	for _, c := range consumers {
		working.Go(func() { h.consume(ctx, c) })
	}
	working.Wait()
	return nil
}

// consumer returns the group's consumer of one partition, which it creates if it does not exist. NATS
// gives out one message at a time, to any process of the group, so that each room's messages are handled
// in order.
func (h *Handlers) consumer(ctx context.Context, partition int) (jetstream.Consumer, error) {
	name := h.group + "-" + strconv.Itoa(partition)
	c, err := h.f.in.Consumer(ctx, name)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return c, err
	}
	cfg := jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: h.f.name + ".in." + strconv.Itoa(partition) + ".>",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       h.cfg.ackWait,
		MaxAckPending: 1,
		DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if h.cfg.fromStart {
		cfg.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	c, err = h.f.in.CreateConsumer(ctx, cfg)
	if errors.Is(err, jetstream.ErrConsumerExists) { // another process has created it meanwhile
		return h.f.in.Consumer(ctx, name)
	}
	return c, err
}

func (h *Handlers) consume(ctx context.Context, c jetstream.Consumer) {
	heard := time.Now() // from the consumer's leader
	for ctx.Err() == nil {
		began := time.Now()
		// Without the heartbeat a request that NATS has lost would not be noticed.
		messages, err := c.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(10*time.Second), jetstream.PullHeartbeat(heartbeat))
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		stop := context.AfterFunc(ctx, messages.Drain)
		var left []jetstream.Msg
		for {
			m, err := messages.Next()
			switch {
			case !errors.Is(err, jetstream.ErrNoHeartbeat), h.answers(ctx, c):
				heard = time.Now()
			case time.Since(began) > 3*heartbeat: // there were heartbeats before
				heard = time.Now().Add(-2 * heartbeat)
			}
			if err != nil {
				h.f.heard(heard)
				break
			}
			if ctx.Err() != nil || !h.handle(ctx, m) {
				left = append(left, m)
			}
		}
		stop()
		messages.Stop()
		for _, m := range left { // another process gets them at once
			_ = m.Nak()
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// answers reports whether NATS answers a request about a consumer, also if it does not exist: another
// server would not give out more messages.
func (h *Handlers) answers(ctx context.Context, c jetstream.Consumer) bool {
	ctx, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	_, err := c.Info(ctx)
	return !unanswered(err)
}

// handle gives one message to its callbacks, and acknowledges it or has it given out again. It returns
// false if ctx ended before the callbacks succeeded.
func (h *Handlers) handle(ctx context.Context, jm jetstream.Msg) bool {
	m, ok := h.f.message(jm)
	if !ok {
		h.acknowledge(ctx, jm) // one of the fleet itself
		return true
	}
	stop := h.sayAlive(jm)
	unfit, err := h.call(ctx, m)
	stop()
	if err != nil && ctx.Err() != nil { // the end of ctx may be the cause
		return false
	}
	last := err == nil || h.cfg.attempts > 0 && m.Attempt >= h.cfg.attempts
	if last && unfit != nil {
		h.undecodable.Add(1)
		h.report(m, unfit)
	}
	switch {
	case err == nil:
		h.acknowledge(ctx, jm)
	case last:
		h.givenUp.Add(1)
		h.report(m, fmt.Errorf("given up after %d attempts: %w", m.Attempt, err))
		_ = jm.Term()
	default:
		h.report(m, err)
		delay := time.Minute
		if m.Attempt < 16 {
			delay = min(delay, h.cfg.retryAfter<<(m.Attempt-1))
		}
		_ = jm.NakWithDelay(delay)
	}
	return true
}

// report logs what went wrong with a message, and calls the functions of OnError.
func (h *Handlers) report(m Message, err error) {
	h.f.log.Error("message", "group", h.group, "room", m.Room, "seq", m.Seq, "attempt", m.Attempt, "err", err)
	h.onError.call(h.f.log, m, err)
}

// acknowledge acknowledges a message, and waits until NATS has confirmed that: otherwise the next message
// might be handled while this one is given out again.
func (h *Handlers) acknowledge(ctx context.Context, jm jetstream.Msg) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishing)
	defer cancel()
	if err := jm.DoubleAck(ctx); err != nil {
		h.f.log.Warn("a message that was handled may be handled again", "subject", jm.Subject(), "err", err)
	}
}

// sayAlive prevents NATS from giving the message to another process until stop is called.
func (h *Handlers) sayAlive(jm jetstream.Msg) (stop func()) {
	var timer *time.Timer
	var mu sync.Mutex
	stopped := false
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(h.cfg.ackWait/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			_ = jm.InProgress()
			timer.Reset(h.cfg.ackWait / 3)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// message decodes a message from the stream. ok is false for a message of the fleet itself.
func (f *Fleet) message(jm jetstream.Msg) (m Message, ok bool) {
	parts := strings.Split(jm.Subject()[len(f.name):], ".") // "", in, partition, room, type
	if len(parts) != 5 || parts[4] == heldToken {
		return m, false
	}
	room, err := names.Text(parts[3])
	if err != nil {
		return m, false
	}
	header := jm.Headers()
	kind, err := names.Text(header.Get(headerType))
	if err != nil {
		return m, false
	}
	m = Message{
		Room: room, Type: kind, Data: jm.Data(), Binary: header.Get(headerBinary) != "",
		Worker: header.Get(headerWorker), Attempt: 1,
	}
	m.Fence, _ = strconv.ParseUint(header.Get(headerFence), 10, 64)
	m.Connection, _ = strconv.Atoi(header.Get(headerConnection))
	if ns, err := strconv.ParseInt(header.Get(headerReceived), 10, 64); err == nil {
		m.Received = time.Unix(0, ns)
	}
	if meta, err := jm.Metadata(); err == nil {
		m.Seq, m.Attempt = meta.Sequence.Stream, int(meta.NumDelivered)
	}
	return m, true
}

// call calls the callbacks for a message, until one returns an error. The errors of callbacks for which
// the message does not decode are in unfit instead.
func (h *Handlers) call(ctx context.Context, m Message) (unfit, err error) {
	h.mu.RLock()
	list := append(h.all[:len(h.all):len(h.all)], h.callbacks[m.Type]...)
	h.mu.RUnlock()
	err = users.Apart(func() error {
		for _, fn := range list {
			err := fn(ctx, m)
			if e, ok := err.(undecodable); ok {
				unfit = errors.Join(unfit, e.error)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return unfit, err
}
