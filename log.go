package wechatws

import (
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"sync"
	"time"

	"github.com/wechatws/wechatws/internal/printable"
)

// WithLogger logs what the client does, by default nothing: one line for each event that
// matters, with levels that keep the log short at Info during an outage of a day.
//
//	Debug  dialing                 attempt
//	Info   connected               connection, attempt, took; after an outage: away, failures
//	Warn   connection lost         connection, lasted, code, err
//	Warn   attempt failed          attempt, failures, away, delay, err
//	Info   no network              attempt
//	Info   network                 connected, type
//	Error  failed                  attempt, err; the client has ended
//	Info   closed                  err
//	Warn   messages dropped        count, err
//	Warn   message not used        count, type, size, err
//	Error  user function panicked  value, stack
//	Warn   error                   err: all other errors that OnError receives
//
// Of failed attempts in a row, and of unusable messages on one connection, the first, the
// second, the fourth, the eighth and so on are logged at level Warn, the others at Debug. An
// attempt that fails for another reason than the previous one is always logged at Warn. The
// attributes are in a group named wechatws. Durations are text, such as "1.5s". There are no
// secrets: no server's page, no close reason, and no message's data. Types are cut at 200 bytes.
//
// The logger's handler is called with the contexts of [Trace] and of the callbacks, so that it
// finds values that [Trace].DialStart has added, such as a span. It is called on the client's
// goroutines, and must not block.
func WithLogger(l *slog.Logger) Option {
	return setting("WithLogger", func(c *config) error {
		if l == nil || l.Handler() == nil {
			return wrong("WithLogger", "nil", "must be a logger with a handler; leave the option out to log nothing")
		}
		c.logger = l
		return nil
	})
}

// A journal writes to the logger, and counts events that repeat.
type journal struct {
	log *slog.Logger

	mu       sync.Mutex // guards the fields below
	opened   time.Time  // when the open connection was opened
	outage   time.Time  // when the last one ended, or the first attempt began; zero while one is open
	failures int        // failed attempts since
	reason   string     // of the last failure
	unused   int        // unusable messages on this connection
}

// keepJournal adds the logger's trace and callbacks. New calls it.
func (c *Client) keepJournal() {
	if c.cfg.logger == nil {
		return
	}
	j := &journal{log: c.cfg.logger.WithGroup("wechatws")}
	c.cfg.trace = c.cfg.trace.with(Trace{DialStart: j.dialStart, Open: j.open, Close: j.close, Retry: j.retry})
	c.onStateChange.Add(j.state)
	c.onNetworkChange.Add(func(ctx context.Context, s NetworkStatus) {
		j.line(ctx, slog.LevelInfo, "network", "connected", s.Connected, "type", string(s.Type))
	})
	c.onError.Add(j.error)
}

func (j *journal) line(ctx context.Context, level slog.Level, text string, attributes ...any) {
	j.log.Log(ctx, level, text, attributes...)
}

// often returns the level for the nth time that an event repeats: the given one if n is a
// power of two, otherwise Debug.
func often(n int, level slog.Level) slog.Level {
	if bits.OnesCount(uint(n)) == 1 {
		return level
	}
	return slog.LevelDebug
}

func (j *journal) dialStart(ctx context.Context, i DialInfo) context.Context {
	j.mu.Lock()
	if j.outage.IsZero() {
		j.outage = time.Now()
	}
	j.mu.Unlock()
	j.line(ctx, slog.LevelDebug, "dialing", "attempt", i.Attempt)
	return nil
}

func (j *journal) open(ctx context.Context, e OpenEvent) {
	j.mu.Lock()
	attributes := []any{"connection", e.Connection, "attempt", e.Attempt, "took", e.Timings.Total.String()}
	if j.failures > 0 {
		attributes = append(attributes, "away", time.Since(j.outage).String(), "failures", j.failures)
	}
	j.opened, j.outage, j.failures, j.reason, j.unused = time.Now(), time.Time{}, 0, "", 0
	j.mu.Unlock()
	j.line(ctx, slog.LevelInfo, "connected", attributes...)
}

func (j *journal) close(ctx context.Context, e CloseEvent) {
	j.mu.Lock()
	lasted := time.Since(j.opened)
	j.outage = time.Now()
	j.mu.Unlock()
	if e.Err == nil { // after Close; state logs that
		return
	}
	j.line(ctx, slog.LevelWarn, "connection lost", "connection", e.Connection, "lasted", lasted.String(), "code", int(e.Code), "err", e.Err)
}

func (j *journal) retry(ctx context.Context, e StateChange) {
	if e.From == StateOpen { // close has logged it
		return
	}
	reason := e.Err.Error()
	j.mu.Lock()
	j.failures++
	level := often(j.failures, slog.LevelWarn)
	if reason != j.reason {
		j.reason, level = reason, slog.LevelWarn
	}
	failures, away := j.failures, time.Since(j.outage)
	j.mu.Unlock()
	j.line(ctx, level, "attempt failed", "attempt", e.Attempt-1, "failures", failures, "away", away.String(), "delay", e.RetryIn.String(), "err", e.Err)
}

func (j *journal) state(ctx context.Context, e StateChange) {
	switch e.To {
	case StateOffline:
		j.line(ctx, slog.LevelInfo, "no network", "attempt", e.Attempt)
	case StateFailed:
		j.line(ctx, slog.LevelError, "failed", "attempt", e.Attempt, "err", e.Err)
	case StateClosed:
		if e.Err != nil {
			j.line(ctx, slog.LevelInfo, "closed", "err", e.Err)
		} else {
			j.line(ctx, slog.LevelInfo, "closed")
		}
	}
}

func (j *journal) error(ctx context.Context, err error) {
	var (
		dial    *DialError
		dropped *DroppedError
		unused  *DecodeError
		panicky *PanicError
	)
	switch {
	case errors.As(err, &dial): // retry has logged it
	case errors.As(err, &dropped):
		j.line(ctx, slog.LevelWarn, "messages dropped", "count", len(dropped.Messages)+dropped.More, "err", dropped.why())
	case errors.As(err, &unused):
		j.mu.Lock()
		j.unused++
		n := j.unused
		j.mu.Unlock()
		j.line(ctx, often(n, slog.LevelWarn), "message not used", "count", n, "type", printable.Text(unused.Type), "size", len(unused.Data), "err", unused.why())
	case errors.As(err, &panicky):
		j.line(ctx, slog.LevelError, "user function panicked", "value", panicky.Value, "stack", string(panicky.Stack))
	default:
		j.line(ctx, slog.LevelWarn, "error", "err", err)
	}
}
