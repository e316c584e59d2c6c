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

// WithLogger has the client log what it does: one line for each event that matters, in
// levels that keep Info readable through an outage of a day.
//
//	Debug  dialling            attempt
//	Info   connected           connection, attempt, took; after an outage: away, failures
//	Warn   connection lost     connection, lasted, code, err
//	Warn   attempt failed      attempt, failures, away, delay, err
//	Info   no network          attempt
//	Info   network             connected, type
//	Error  failed              attempt, err: it is final
//	Info   closed              err
//	Warn   messages dropped    count, err
//	Warn   message not used    count, type, size, err
//	Error  panic in a callback value, stack
//	Warn   error               err: everything else that OnError is told
//
// Of failed attempts in a row, and of messages that cannot be used on one connection, the
// first is logged, the second, the fourth, the eighth and so on; the others are on level
// Debug. An attempt that fails for another reason than the one before is logged too.
// Attributes are the same words everywhere, in a group named wechatws. There is nothing
// in them that is not in the texts of the client's errors, which hold no secrets: no
// server's page, no close reason, and no message's data. Types are cut at 200 bytes.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l == nil {
			c.wrong("WithLogger", "nil", "must be a *slog.Logger; leave the option out to log nothing")
			return
		}
		c.logger = l
	}
}

// A journal is what the logger remembers, to sum up what repeats itself.
type journal struct {
	log *slog.Logger

	mu       sync.Mutex
	opened   time.Time // the connection that is open
	outage   time.Time // when the last one ended, or the first attempt began; zero: it is open
	failures int       // attempts that failed since
	reason   string    // of the last
	unused   int       // messages on this connection that could not be used
}

// keepJournal is called by New.
func (c *Client) keepJournal() {
	if c.cfg.logger == nil {
		return
	}
	j := &journal{log: c.cfg.logger.WithGroup("wechatws")}
	all := c.cfg.trace.with(Trace{DialStart: j.dialStart, Open: j.open, Close: j.close, Retry: j.retry})
	c.cfg.trace = &all
	c.onStateChange.add(func(_ context.Context, e StateChange) { j.state(e) })
	c.onNetworkChange.add(func(_ context.Context, s NetworkStatus) {
		j.line(slog.LevelInfo, "network", "connected", s.Connected, "type", string(s.Type))
	})
	c.onError.add(func(_ context.Context, err error) { j.error(err) })
}

func (j *journal) line(level slog.Level, text string, attributes ...any) {
	j.log.Log(context.Background(), level, text, attributes...)
}

// often is the level of the nth of something that repeats itself.
func often(n int, level slog.Level) slog.Level {
	if bits.OnesCount(uint(n)) == 1 {
		return level
	}
	return slog.LevelDebug
}

func (j *journal) dialStart(e DialStart) {
	j.mu.Lock()
	if j.outage.IsZero() {
		j.outage = time.Now()
	}
	j.mu.Unlock()
	j.line(slog.LevelDebug, "dialling", "attempt", e.Attempt)
}

func (j *journal) open(e OpenEvent) {
	j.mu.Lock()
	attributes := []any{"connection", e.Connection, "attempt", e.Attempt, "took", e.Timings.Total}
	if j.failures > 0 {
		attributes = append(attributes, "away", time.Since(j.outage), "failures", j.failures)
	}
	j.opened, j.outage, j.failures, j.reason, j.unused = time.Now(), time.Time{}, 0, "", 0
	j.mu.Unlock()
	j.line(slog.LevelInfo, "connected", attributes...)
}

func (j *journal) close(e CloseEvent) {
	j.mu.Lock()
	lasted := time.Since(j.opened)
	j.outage = time.Now()
	j.mu.Unlock()
	if e.Err == nil { // Close, which the last move of the state tells of
		return
	}
	j.line(slog.LevelWarn, "connection lost", "connection", e.Connection, "lasted", lasted, "code", int(e.Code), "err", e.Err)
}

func (j *journal) retry(e StateChange) {
	if e.From == StateOpen { // connection lost says it
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
	j.line(level, "attempt failed", "attempt", e.Attempt-1, "failures", failures, "away", away, "delay", e.RetryIn, "err", e.Err)
}

func (j *journal) state(e StateChange) {
	switch e.To {
	case StateOffline:
		j.line(slog.LevelInfo, "no network", "attempt", e.Attempt)
	case StateFailed:
		j.line(slog.LevelError, "failed", "attempt", e.Attempt, "err", e.Err)
	case StateClosed:
		if e.Err != nil {
			j.line(slog.LevelInfo, "closed", "err", e.Err)
		} else {
			j.line(slog.LevelInfo, "closed")
		}
	}
}

func (j *journal) error(err error) {
	var (
		dial    *DialError
		dropped *DroppedError
		unused  *DecodeError
		panicky *PanicError
	)
	switch {
	case errors.As(err, &dial): // told as a failed attempt
	case errors.As(err, &dropped):
		j.line(slog.LevelWarn, "messages dropped", "count", len(dropped.Messages)+dropped.More, "err", dropped.Err)
	case errors.As(err, &unused):
		j.mu.Lock()
		j.unused++
		n := j.unused
		j.mu.Unlock()
		j.line(often(n, slog.LevelWarn), "message not used", "count", n, "type", printable.Text(unused.Type), "size", len(unused.Data), "err", unused.why())
	case errors.As(err, &panicky):
		j.line(slog.LevelError, "panic in a callback", "value", panicky.Value, "stack", string(panicky.Stack))
	default:
		j.line(slog.LevelWarn, "error", "err", err)
	}
}
