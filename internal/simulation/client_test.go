package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws"
)

// options are the client's, from the settings.
func (w *world) options() []wechatws.Option {
	t := &w.Settings
	options := []wechatws.Option{
		wechatws.WithProxy(nil),
		wechatws.WithNetDial(w.dial),
		wechatws.WithQueue(t.Messages, t.Bytes, wechatws.QueuePolicy(t.Policy)),
		wechatws.WithDrainTimeout(t.Drain),
		wechatws.WithDialTimeout(t.Dial),
		wechatws.WithBackOff(func() backoff.BackOff { return &tiers{w: w} }),
		wechatws.WithRetryIf(func(wechatws.Failure) bool { _ = w.hook(context.Background(), "RetryIf"); return true }),
		wechatws.WithTrace(w.observer(), w.trace()),
	}
	add := func(o wechatws.Option) { options = append(options, o) }
	if t.Timeout > 0 {
		add(wechatws.WithLiveness(wechatws.Liveness{Interval: t.Interval, Timeout: t.Timeout}))
	} else {
		add(wechatws.WithoutLiveness())
	}
	switch {
	case t.Beat == 0:
		add(wechatws.WithoutHeartbeat())
	case t.NewBeat:
		add(wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: t.Beat, NewMessage: func(int) (any, error) {
			return wechatws.Text("{}"), w.hook(context.Background(), "NewMessage")
		}}))
	default:
		add(wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: t.Beat}))
	}
	if t.Login {
		add(wechatws.WithLogin(func(ctx context.Context) (any, error) {
			return wechatws.Text(`"login"`), w.hook(ctx, "Login")
		}))
	}
	if t.Logger {
		add(wechatws.WithLogger(slog.New(&logHandler{slog.NewTextHandler(io.Discard, nil), w})))
	}
	if t.Monitor {
		add(wechatws.WithNetworkMonitor(w))
	}
	return options
}

// tiers is the schedule of the settings, with the hook of a BackOff.
type tiers struct {
	w    *world
	used int
}

// NextBackOff implements [backoff.BackOff].
func (t *tiers) NextBackOff() time.Duration {
	_ = t.w.hook(context.Background(), "BackOff")
	all := t.w.Settings.Tiers
	d := all[min(t.used/3, len(all)-1)]
	t.used++
	return d
}

// Reset implements [backoff.BackOff].
func (t *tiers) Reset() { t.used = 0 }

// A logHandler is a hook of its own.
type logHandler struct {
	slog.Handler
	w *world
}

// Handle implements [slog.Handler].
func (h *logHandler) Handle(ctx context.Context, _ slog.Record) error { return h.w.hook(ctx, "Logger") }

// WithGroup implements [slog.Handler].
func (h *logHandler) WithGroup(string) slog.Handler { return h }

// WithAttrs implements [slog.Handler].
func (h *logHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// observer is what the accounts need to be told by a trace.
func (w *world) observer() wechatws.Trace {
	return wechatws.Trace{
		DialDone: func(_ context.Context, i wechatws.DialInfo) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.note("attempt %d has ended: %v", i.Attempt, i.Err)
			if i.Connection > 0 {
				w.numbers[i.Connection] = w.newest()
			}
			if i.Err == nil {
				w.opened = time.Now()
			}
		},
		Retry: func(_ context.Context, e wechatws.StateChange) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.waitEnds = time.Now().Add(e.RetryIn)
		},
		DialStart: func(ctx context.Context, _ wechatws.DialInfo) context.Context {
			w.mu.Lock()
			defer w.mu.Unlock()
			if early := time.Until(w.waitEnds); early > 0 && w.urged.Before(w.opened) {
				w.fail("attempts: a wait has ended %v early, and nothing has called for that since the client was open", early)
			}
			return ctx
		},
	}
}

// trace has a hook for each function.
func (w *world) trace() wechatws.Trace {
	tr := wechatws.Trace{
		DialStart: func(ctx context.Context, _ wechatws.DialInfo) context.Context {
			_ = w.hook(ctx, "DialStart")
			return ctx
		},
		DialDone: func(ctx context.Context, _ wechatws.DialInfo) { _ = w.hook(ctx, "DialDone") },
		Open:     func(ctx context.Context, _ wechatws.OpenEvent) { _ = w.hook(ctx, "TraceOpen") },
		Close:    func(ctx context.Context, _ wechatws.CloseEvent) { _ = w.hook(ctx, "TraceClose") },
		Retry:    func(ctx context.Context, _ wechatws.StateChange) { _ = w.hook(ctx, "Retry") },
	}
	if w.Settings.Traces {
		tr.Ping = func(ctx context.Context, _ wechatws.PingInfo) { _ = w.hook(ctx, "Ping") }
		tr.Pong = func(ctx context.Context, _ wechatws.PingInfo) { _ = w.hook(ctx, "Pong") }
		tr.MessageStart = func(ctx context.Context, _ wechatws.MessageInfo) context.Context {
			_ = w.hook(ctx, "MessageStart")
			return ctx
		}
		tr.MessageDone = func(ctx context.Context, _ wechatws.MessageInfo) { _ = w.hook(ctx, "MessageDone") }
		tr.MessageSent = func(ctx context.Context, _ wechatws.MessageInfo) { _ = w.hook(ctx, "MessageSent") }
		tr.Dropped = func(ctx context.Context, _ *wechatws.DroppedError) { _ = w.hook(ctx, "Dropped") }
	}
	return tr
}

// register registers the callbacks: first those of the accounts, which always return, then the hooks.
func (w *world) register() {
	c := w.client
	locked := func(fn func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		fn()
	}
	c.OnMessage(func(_ context.Context, m wechatws.Message) { locked(func() { w.received(m) }) })
	c.OnOpen(func(_ context.Context, e wechatws.OpenEvent) { locked(func() { w.note("open: %v", e) }) })
	c.OnClose(func(_ context.Context, e wechatws.CloseEvent) {
		locked(func() { w.note("closed: %v", e); w.lost(e) })
	})
	c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
		locked(func() { w.note("state %v, attempt %d: %v", e.To, e.Attempt, e.Err); w.moved(e) })
	})
	c.OnError(func(_ context.Context, err error) {
		locked(func() {
			w.note("error: %.200v", err)
			if strings.Contains(err.Error(), "wechatws: internal error") {
				w.fail("internal: %v", err)
			}
			if e, ok := isError[*wechatws.DroppedError](err); ok {
				w.hasDropped(e)
			}
			if e, ok := isError[*wechatws.PanicError](err); ok && !isSimulated(e) {
				w.fail("panic: %v\n%s", e.Value, e.Stack)
			}
		})
	})
	c.OnMessage(func(ctx context.Context, _ wechatws.Message) { _ = w.hook(ctx, "OnMessage") })
	c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { _ = w.hook(ctx, "OnOpen") })
	c.OnClose(func(ctx context.Context, _ wechatws.CloseEvent) { _ = w.hook(ctx, "OnClose") })
	c.OnStateChange(func(ctx context.Context, _ wechatws.StateChange) { _ = w.hook(ctx, "OnStateChange") })
	c.OnError(func(ctx context.Context, _ error) { _ = w.hook(ctx, "OnError") })
	c.OnNetworkChange(func(ctx context.Context, _ wechatws.NetworkStatus) { _ = w.hook(ctx, "OnNetworkChange") })
	if t := &w.Settings; t.Setup > 0 {
		c.AfterConnect(t.Setup, w.afterConnect)
	}
}

// isSimulated reports whether a panic is one of a hook.
func isSimulated(e *wechatws.PanicError) bool {
	return errors.Is(e, errSimulated) || e.Value == any(errSimulated) || strings.Contains(fmt.Sprint(e.Value), "Goexit")
}

// afterConnect is the AfterConnect function.
func (w *world) afterConnect(ctx context.Context, o *wechatws.Setup) error {
	if err := w.hook(ctx, "AfterConnect"); err != nil || !w.Settings.Greeting {
		return err
	}
	waits := ctx
	if w.Settings.Heedless {
		waits = context.Background()
	}
	began := time.Now()
	_, err := o.Receive(waits)
	if took := time.Since(began); took > w.Settings.Setup {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fail("waits: Receive has returned after %v, with a timeout of %v", took, w.Settings.Setup)
	}
	return err
}
