package wechatws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/printable"
	"github.com/wechatws/wechatws/internal/record"
)

// A Trace is a set of functions that are called as things happen, like those of
// [net/http/httptrace]: for metrics, spans and tests. [WithTrace] sets it. A nil function
// costs nothing. To act on events, use the callbacks of [Client].
//
// The functions run on the client's goroutines, possibly several at the same time, and the
// client waits for them: they must not block. They may call [Client.State], [Client.Stats] and
// [Client.Reconnect], and no other method of the client. A panic or a [runtime.Goexit] in one is
// reported to [Client.OnError]; see [PanicError].
//
// Each function is called with a context that has the values of the context of
// [Client.Connect] or [Client.Run]. DialStart and MessageStart may return a context with more
// values for the functions that are called after them; nil stands for the context that they
// were called with. The deadline and the cancellation of a returned context have no effect.
type Trace struct {
	// DialStart is called when an attempt to connect begins. The context that it returns is
	// that of the attempt: of the functions of [WithEndpoint], [WithNetDial], [WithLogin]
	// and [Client.AfterConnect], of the [transport.Dialer], and of DialDone and Open.
	DialStart func(ctx context.Context, i DialInfo) context.Context
	// DialDone is called when that attempt has ended.
	DialDone func(ctx context.Context, i DialInfo)
	// Open is called when a connection is open and logged in.
	Open func(ctx context.Context, e OpenEvent)
	// Close is called when a connection that had been open has ended.
	Close func(ctx context.Context, e CloseEvent)
	// Retry is called when the wait for the next attempt begins.
	Retry func(ctx context.Context, e StateChange)
	// Ping is called before a protocol ping is written.
	Ping func(ctx context.Context, i PingInfo)
	// Pong is called when a ping, or a heartbeat with [Heartbeat] Pong, has been answered.
	Pong func(ctx context.Context, i PingInfo)
	// MessageStart is called before the callbacks of a message run. The context that it
	// returns is the one of these callbacks and of MessageDone. With [WithParallel] both are called for
	// several messages at a time.
	MessageStart func(ctx context.Context, i MessageInfo) context.Context
	// MessageDone is called when the callbacks have run.
	MessageDone func(ctx context.Context, i MessageInfo)
	// MessageSent is called when a message has been written to the socket. Its context has
	// the values of the context of [Client.Send], and is never canceled. It may be called on
	// the goroutine that calls Send.
	MessageSent func(ctx context.Context, i MessageInfo)
	// Dropped is called when accepted messages have been dropped, with the error that
	// [Client.OnError] receives. The error is read-only.
	Dropped func(ctx context.Context, err *DroppedError)
}

// A DialInfo describes an attempt to connect. Printed, in a log and in JSON it has no Header.
type DialInfo struct {
	Attempt int `json:"attempt"` // as in [StateChange]

	// Header is added to the header of the handshake. It replaces the values of [Endpoint]
	// and [WithHeader] under the same name. DialStart may change it before it returns; in
	// DialDone it is read-only, and nil if there is no DialStart.
	Header http.Header `json:"-"`

	// Set in DialDone only.
	Connection int     `json:"connection,omitzero"` // as in [Message]; 0: the handshake has failed
	Timings    Timings `json:"timings,omitzero"`    // of the phases that have succeeded
	// Err is nil if the attempt has opened a connection. Otherwise it is a [*DialError], or
	// wraps [ErrReconnect] if [Client.Reconnect] or a change of the network has restarted the
	// attempt, and [ErrClosed] if the end of the client has canceled it.
	Err error `json:"err,omitzero"`
}

// LogValue implements [slog.LogValuer].
func (i DialInfo) LogValue() slog.Value { return record.Log(i) }

// MarshalJSON implements [json.Marshaler].
func (i DialInfo) MarshalJSON() ([]byte, error) { return record.JSON(i) }

// A PingInfo describes a ping.
type PingInfo struct {
	Connection int           `json:"connection"`   // as in [Message]
	RTT        time.Duration `json:"rtt,omitzero"` // the round-trip time; only in Pong
}

// LogValue implements [slog.LogValuer].
func (i PingInfo) LogValue() slog.Value { return record.Log(i) }

// MarshalJSON implements [json.Marshaler].
func (i PingInfo) MarshalJSON() ([]byte, error) { return record.JSON(i) }

// A MessageInfo describes a message. In a log and in JSON its type is cut at 200 bytes.
type MessageInfo struct {
	Connection int           `json:"connection"`      // as in [Message]
	Type       string        `json:"type,omitzero"`   // as in [Message]; empty in MessageSent
	Binary     bool          `json:"binary"`          // a binary message; otherwise text
	Size       int           `json:"size"`            // of the data, in bytes
	Waited     time.Duration `json:"waited,omitzero"` // since the message arrived in full; in MessageSent, since Send accepted it
	Took       time.Duration `json:"took,omitzero"`   // of the callbacks; only in MessageDone
}

// LogValue implements [slog.LogValuer].
func (i MessageInfo) LogValue() slog.Value { return record.Log(i.shown()) }

// MarshalJSON implements [json.Marshaler].
func (i MessageInfo) MarshalJSON() ([]byte, error) { return record.JSON(i.shown()) }

// shown returns i with its type as it is shown.
func (i MessageInfo) shown() MessageInfo {
	i.Type = printable.Text(i.Type)
	return i
}

// tracers has the functions of all traces of a client.
type tracers struct {
	dialStart    []func(context.Context, DialInfo) context.Context
	dialDone     []func(context.Context, DialInfo)
	open         []func(context.Context, OpenEvent)
	close        []func(context.Context, CloseEvent)
	retry        []func(context.Context, StateChange)
	ping, pong   []func(context.Context, PingInfo)
	messageStart []func(context.Context, MessageInfo) context.Context
	messageDone  []func(context.Context, MessageInfo)
	messageSent  []func(context.Context, MessageInfo)
	dropped      []func(context.Context, *DroppedError)
}

// with returns a copy of t with further traces. t itself may be shared by clients.
func (t *tracers) with(traces ...Trace) *tracers {
	all := *t
	for _, one := range traces {
		all.dialStart = withStart(all.dialStart, one.DialStart)
		all.dialDone = withHook(all.dialDone, one.DialDone)
		all.open = withHook(all.open, one.Open)
		all.close = withHook(all.close, one.Close)
		all.retry = withHook(all.retry, one.Retry)
		all.ping = withHook(all.ping, one.Ping)
		all.pong = withHook(all.pong, one.Pong)
		all.messageStart = withStart(all.messageStart, one.MessageStart)
		all.messageDone = withHook(all.messageDone, one.MessageDone)
		all.messageSent = withHook(all.messageSent, one.MessageSent)
		all.dropped = withHook(all.dropped, one.Dropped)
	}
	return &all
}

func withHook[T any](hooks []func(context.Context, T), hook func(context.Context, T)) []func(context.Context, T) {
	if hook == nil {
		return hooks
	}
	return append(slices.Clip(hooks), hook)
}

func withStart[T any](hooks []func(context.Context, T) context.Context, hook func(context.Context, T) context.Context) []func(context.Context, T) context.Context {
	if hook == nil {
		return hooks
	}
	return append(slices.Clip(hooks), hook)
}

// trace calls the functions for something that has happened. They run apart, so that a
// runtime.Goexit in one does not end the goroutine that calls trace.
func trace[T any](ctx context.Context, c *Client, hooks []func(context.Context, T), v T) {
	for _, hook := range hooks {
		c.traceFailed(users.Apart(func() error { hook(ctx, v); return nil }))
	}
}

// traceStart calls the functions for something that begins, and returns the context for it.
func traceStart[T any](ctx context.Context, c *Client, hooks []func(context.Context, T) context.Context, v T) context.Context {
	for _, hook := range hooks {
		c.traceFailed(users.Apart(func() error { ctx = begun(ctx, hook(ctx, v)); return nil }))
	}
	return ctx
}

// traceInPlace is trace for events of each message. The caller must be prepared for the end of
// its goroutine, and makes v only if there are functions.
func traceInPlace[T any](ctx context.Context, c *Client, hooks []func(context.Context, T), v T) {
	for i, hook := range hooks {
		c.traceFailed(users.Guard(func() error { hook(ctx, v); return nil }, func(err error) {
			defer traceInPlace(ctx, c, hooks[i+1:], v)
			c.traceFailed(err)
		}))
	}
}

// begun returns the context for something that begins, after a function for its start.
func begun(ctx, returned context.Context) context.Context {
	if boundary.IsNil(returned) || returned == ctx {
		return ctx
	}
	return &hookContext{ctx, context.WithoutCancel(returned)}
}

func (c *Client) traceFailed(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	c.reportLater(s, err)
}

// A hookContext is a context of the client with the values of a context that a trace function
// has returned. The latter is without cancellation, so that package context, which finds the
// cancellation by Value, finds the client's.
type hookContext struct {
	context.Context
	values context.Context
}

func (c *hookContext) Value(key any) any {
	if v := c.values.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// String returns the attempt's number and its error, if there is one.
func (i DialInfo) String() string {
	text := fmt.Sprintf("attempt %d", i.Attempt)
	if i.Err != nil {
		text += ": " + because(i.Err)
	}
	return text
}

// GoString implements [fmt.GoStringer], with what String returns.
func (i DialInfo) GoString() string { return "wechatws.DialInfo(" + i.String() + ")" }
