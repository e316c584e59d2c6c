package wechatws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wechatws/wechatws/internal/printable"
)

// A journal writes to the logger of [WithLogger], and counts events that repeat. It uses only
// the exported API of the client.
type journal struct {
	log *slog.Logger

	mu       sync.Mutex      // guards the fields below
	opened   time.Time       // when the open connection was opened
	outage   time.Time       // when the last one ended, or the first attempt began; zero while one is open
	failures int             // failed attempts since
	reasons  map[string]bool // of the failures of this outage
	unused   int             // unusable messages on this connection
}

func newJournal(l *slog.Logger) *journal { return &journal{log: l.WithGroup("wechatws")} }

// trace returns the functions that are called as things happen.
func (j *journal) trace() Trace {
	return Trace{DialStart: j.dialStart, Open: j.open, Close: j.close, Retry: j.retry}
}

// listen registers the callbacks.
func (j *journal) listen(c *Client) {
	c.OnStateChange(j.state)
	c.OnNetworkChange(func(ctx context.Context, s NetworkStatus) {
		j.line(ctx, slog.LevelInfo, "network", "connected", s.Connected, "type", string(s.Type))
	})
	c.OnError(j.error)
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
	j.opened, j.outage, j.failures, j.reasons, j.unused = time.Now(), time.Time{}, 0, nil, 0
	j.mu.Unlock()
	j.line(ctx, slog.LevelInfo, "connected", attributes...)
}

func (j *journal) close(ctx context.Context, e CloseEvent) {
	j.mu.Lock()
	lasted := time.Since(j.opened)
	j.outage = time.Now()
	j.mu.Unlock()
	if ended := (*CloseError)(nil); !errors.As(e.Err, &ended) { // by Close, or the end of a context; state logs that
		return
	}
	j.line(ctx, slog.LevelWarn, "connection lost", "connection", e.Connection, "lasted", lasted.String(), "code", int(e.Code), "err", e.Err)
}

func (j *journal) retry(ctx context.Context, e StateChange) {
	if e.From == StateOpen { // close has logged it
		return
	}
	reason := reasonOf(e.Err)
	j.mu.Lock()
	j.failures++
	level := often(j.failures, slog.LevelWarn)
	if !j.reasons[reason] && len(j.reasons) < maxReasons {
		if j.reasons == nil {
			j.reasons = map[string]bool{}
		}
		j.reasons[reason], level = true, slog.LevelWarn
	}
	failures, away := j.failures, time.Since(j.outage)
	j.mu.Unlock()
	j.line(ctx, level, "attempt failed", "attempt", e.Attempt-1, "failures", failures, "away", away.String(), "delay", e.RetryIn.String(), "err", e.Err)
}

// maxReasons is how many reasons of one outage are logged at once: an error's text may differ each time.
const maxReasons = 8

// reasonOf returns what failures for the same reason have in common: not the address, since several
// endpoints may take turns; and of a server's refusal not its text, which WithServerText adds to the
// error's and which may differ each time.
func reasonOf(err error) string {
	var (
		dial   *DialError
		server *HandshakeError
		proxy  *ProxyError
		errno  syscall.Errno
	)
	switch {
	case !errors.As(err, &dial):
		return err.Error()
	case errors.As(err, &server) && len(server.Body) > 0:
		return fmt.Sprint("server ", server.Status)
	case errors.As(err, &proxy):
		return fmt.Sprint("proxy ", proxy.Status)
	case errors.As(err, &errno):
		return dial.Phase + " " + errno.Error()
	}
	text := err.Error()
	if host, _, err := net.SplitHostPort(dial.Addr); err == nil {
		text = strings.NewReplacer(dial.Addr, "", host, "").Replace(text)
	}
	return text
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
		large   *ReadLimitError
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
		level := often(n, slog.LevelWarn)
		if !j.log.Enabled(ctx, level) { // a peer may send very many of them
			return
		}
		j.line(ctx, level, "message not used", "count", n, "type", printable.Text(unused.Type), "size", len(unused.Data), "err", unused.why())
	case errors.As(err, &large):
		j.mu.Lock()
		j.unused++
		n := j.unused
		j.mu.Unlock()
		j.line(ctx, often(n, slog.LevelWarn), "message not used", "count", n, "connection", large.Connection, "size", large.Size, "err", err)
	case errors.As(err, &panicky):
		j.line(ctx, slog.LevelError, "user function panicked", "value", printable.Text(fmt.Sprint(panicky.Value)), "stack", string(panicky.Stack))
	default:
		j.line(ctx, slog.LevelWarn, "error", "err", err)
	}
}
