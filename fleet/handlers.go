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

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/names"
	"github.com/wechatws/wechatws/internal/fence"
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
	// handled again has the same, also after [Control.Replay].
	Seq uint64
	// Attempt is 1 at first, and one more after each error. A message that is handled again because a
	// process was lost has the same Attempt.
	Attempt int
}

// Handlers handles messages from rooms. Make one with [Fleet.NewHandlers], register callbacks with
// [On], then call [Handlers.Run]. Its methods may be called from any goroutine.
type Handlers struct {
	f       *Fleet
	group   string
	cfg     handlersConfig
	name    string // of this process
	onError errorFuncs[Message]
	workers *pool
	groups  jetstream.KeyValue

	ran, ended                                     atomic.Bool
	reached                                        atomic.Pointer[time.Time] // when NATS was last reached
	partitions                                     sync.Map                  // number → *partition
	handled, retried, undecodable, givenUp, errors atomic.Int64

	failing  sync.Mutex
	failed   string // what was last reported by fail
	failedAt time.Time

	mu        sync.RWMutex
	callbacks map[string][]func(ctx context.Context, m Message) error // by type
	all       []func(ctx context.Context, m Message) error
}

// NewHandlers makes the handlers of a group, which do nothing until [Handlers.Run]. Each message is
// handled by one process of a group, and by every group: the processes share the partitions of
// [WithPartitions] evenly. The name of a group is 1 to 32 letters, digits, - and _.
//
// NewHandlers returns a *wechatws.OptionError for each option that is wrong, joined.
func (f *Fleet) NewHandlers(group string, options ...HandlersOption) (*Handlers, error) {
	cfg, err := newHandlersConfig(group, options)
	if err != nil {
		return nil, err
	}
	return &Handlers{
		f: f, group: group, cfg: cfg, name: processName(), workers: &pool{most: cfg.parallel},
		callbacks: map[string][]func(context.Context, Message) error{},
	}, nil
}

// On registers fn for messages of one type, decoded into a T by the fleet's codec. Callbacks for
// one room run one at a time and in order, in one process of the group; those of different rooms
// run at the same time, see [WithParallel]. The context of fn ends with that of [Handlers.Run], and
// when another process may take the room because this one has not reached NATS, see
// [WithTakeoverAfter]: fn should return then. Otherwise it may take any time.
//
// After an error or a panic the message is handled again, see [WithAttempts], and so it is when the
// process was lost meanwhile, or within about 0.1 s after fn returned. So fn may get a message that it
// has handled before: see [Message.Seq].
//
// If fn returns an error that is marked by [wechatws.Permanent], there is no further attempt, and the
// message is a dead letter: see [Control.DeadLetters]. So is a message that does not decode into a T,
// or whose decoding panics, after its other callbacks have been called.
//
// Messages of a type for which no callback is registered are skipped. An empty type or a nil fn is a
// *wechatws.OptionError of [Handlers.Run].
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
// a message that does not decode into the type of its callback, or whose decoding panics. It is also
// called, with the zero Message, when what the group has in NATS cannot be used or was lost. All errors
// are logged, too. fn is called on several goroutines, and should not block: the messages of the room
// wait for it. Call OnError before [Handlers.Run], or the first errors may be missed.
func (h *Handlers) OnError(fn func(m Message, err error)) {
	h.onError.add("Handlers.OnError", fn)
}

// Run handles messages until ctx ends, and returns nil when the running callbacks have returned. It
// returns an error only if it cannot begin. Run may be called once; later calls return an error.
func (h *Handlers) Run(ctx context.Context) error {
	if err := h.onError.misused(); err != nil {
		return err
	}
	if h.ran.Swap(true) {
		return fmt.Errorf("fleet: the handlers of group %q have run already", h.group)
	}
	defer h.ended.Store(true)
	// An answer is no evidence that the server is not cut off: it may lead the streams that there are.
	failed := func(began time.Time, err error) error {
		if err != nil {
			return h.f.reached(began, err)
		}
		return nil
	}
	err := h.f.retry(ctx, func(ctx context.Context) (err error) {
		began := time.Now()
		h.groups, err = h.f.makeGroups(ctx)
		return failed(began, err)
	})
	if err != nil {
		return fmt.Errorf("fleet: group %q: %w", h.group, err)
	}
	err = h.f.retry(ctx, func(ctx context.Context) error { return failed(time.Now(), h.f.makeDead(ctx)) })
	if err != nil && ctx.Err() == nil {
		h.fail(fmt.Errorf("fleet: group %q: messages that are given up will be lost: %w", h.group, err))
	}
	h.share(ctx)
	return nil
}

// handle gives a message to its callbacks. It returns false if there is to be another attempt, and an error
// if ctx ended before the message was done with.
func (h *Handlers) handle(ctx context.Context, m Message) (handled bool, err error) {
	unfit, err := h.call(ctx, m)
	if err != nil && ctx.Err() != nil { // the end of ctx may be the cause
		return false, err
	}
	permanent := fence.IsPermanent(err)
	if err != nil && !permanent && (h.cfg.attempts == 0 || m.Attempt < h.cfg.attempts) {
		h.retried.Add(1)
		h.report(m, err)
		return false, nil
	}
	if err != nil && !permanent {
		err = fmt.Errorf("given up after %d attempts: %w", m.Attempt, err)
	}
	return h.done(ctx, m, unfit, err)
}

// done is called for a message of which there is no further attempt, with what was wrong with it. It returns
// as handle does.
func (h *Handlers) done(ctx context.Context, m Message, unfit, err error) (handled bool, _ error) {
	if unfit != nil {
		h.undecodable.Add(1)
		h.report(m, unfit)
	}
	if err != nil {
		h.givenUp.Add(1)
		h.report(m, err)
	}
	if reason := errors.Join(unfit, err); reason != nil {
		if err := h.bury(ctx, m, reason); err != nil {
			return false, err
		}
	}
	h.handled.Add(1)
	return true, nil
}

// report logs what went wrong with a message, and calls the functions of OnError.
func (h *Handlers) report(m Message, err error) {
	h.errors.Add(1)
	h.f.log.Error("message", "group", h.group, "room", m.Room, "seq", m.Seq, "attempt", m.Attempt, "err", err)
	h.onError.call(h.f.log, m, err)
}

// fail reports what is wrong with the group and not with a message, the same error at most every 10 s.
func (h *Handlers) fail(err error) {
	h.failing.Lock()
	again := h.failed == err.Error() && time.Since(h.failedAt) < 10*time.Second
	if !again {
		h.failed, h.failedAt = err.Error(), time.Now()
	}
	h.failing.Unlock()
	if !again {
		h.report(Message{}, err)
	}
}

// concerns decodes a message of the stream. ok is false if the group has nothing to do with it: it is one
// of the fleet itself, or no callback is registered for it, or it was replayed for another group.
func (h *Handlers) concerns(raw *nats.Msg, seq uint64) (m Message, ok bool) {
	if m, ok = h.f.message(raw.Subject, raw.Header, raw.Data, seq); !ok {
		return m, false
	}
	if group := raw.Header.Get(headerGroup); group != "" && group != h.group {
		return m, false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return m, len(h.all) > 0 || len(h.callbacks[m.Type]) > 0
}

// message decodes a message from the stream. ok is false for a message that no room has published: one of
// the fleet itself, or an answer of NATS to a request of another user.
func (f *Fleet) message(subject string, header nats.Header, data []byte, seq uint64) (m Message, ok bool) {
	parts := strings.Split(subject[len(f.name):], ".") // "", in, partition, room, type
	if len(parts) != 5 || parts[4] == heldToken || header.Get(headerWorker) == "" || replayed(header) {
		return m, false
	}
	room, err := names.Text(parts[3])
	if err != nil {
		return m, false
	}
	kind, err := names.Text(header.Get(headerType))
	if err != nil {
		return m, false
	}
	m = Message{
		Room: room, Type: kind, Data: data, Binary: header.Get(headerBinary) != "",
		Worker: header.Get(headerWorker), Seq: seq, Attempt: 1,
	}
	m.Fence, _ = strconv.ParseUint(header.Get(headerFence), 10, 64)
	m.Connection, _ = strconv.Atoi(header.Get(headerConnection))
	if ns, err := strconv.ParseInt(header.Get(headerReceived), 10, 64); err == nil {
		m.Received = time.Unix(0, ns)
	}
	if replayed, err := strconv.ParseUint(header.Get(headerSeq), 10, 64); err == nil {
		m.Seq = replayed
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
