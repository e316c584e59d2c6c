package wsotel

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/wechatws/wechatws"
)

// SpanName is the name of the span of a connection attempt.
const SpanName = "wechatws.connect"

// Outcomes of an attempt: the values of the attribute wechatws.outcome.
const (
	OutcomeOpen      = "open"      // there is a connection, and it is logged in
	OutcomeFailed    = "failed"    // the span's status is an error; another attempt follows unless wechatws.permanent is true
	OutcomeRestarted = "restarted" // Reconnect, or a change of the network, has begun it anew or put it off
	OutcomeClosed    = "closed"    // Close, or the end of a context, has ended it
)

// TraceOptions say how Trace makes spans.
type TraceOptions struct {
	// TracerProvider makes the tracer. Default: the global one,
	// otel.GetTracerProvider, which may be set later.
	TracerProvider trace.TracerProvider

	// Attributes are added to every span, such as ClientName. Default: none.
	Attributes []attribute.KeyValue
}

// Trace makes a span, named wechatws.connect, of each connection attempt of a client,
// until stop is called. It does not block; call it before Connect. It may be called from
// any goroutine and from inside a client's callbacks, and so may stop, which may be
// called more than once. A client that is traced twice has two spans for each attempt.
// Trace panics when client is nil.
//
// A span is of kind client, and has as attributes
//
//	wechatws.attempt           its number, as in wechatws.StateChange
//	wechatws.outcome           see OutcomeOpen and the others
//	wechatws.connection        the connection's number, as in wechatws.Message
//	wechatws.timing.resolve    seconds for DNS, and likewise
//	               .connect    TCP
//	               .tls        TLS; steps that did not happen are left out
//	               .handshake  from the request written to the server's answer
//	               .total      all of it
//
// and when it failed, besides the status Error with the library's text, which holds no
// secrets,
//
//	wechatws.phase             DialError.Phase
//	wechatws.permanent         whether no other attempt follows
//	wechatws.retry_in          otherwise after how many seconds it does
//	error.type                 the handshake's HTTP status, "timeout", "panic", or else the step
//	http.response.status_code  of the handshake, if there was an answer
//	server.address, .port      if they were known by then
//
// A span is a root, since a client reconnects for longer than any trace should last. It
// is linked to the span that was in the context of Connect or Run.
//
// Spans are made when the attempt is over, from what the client's callbacks are told,
// and bear the times at which things happened, also when a callback blocks and they are
// told late: a span begins with the state Connecting and ends with the next state. A
// sampler therefore sees all attributes. The one of an attempt that was under way when
// Trace was called begins with Timings.Start, and is made if the attempt succeeds.
func Trace(client *wechatws.Client, o TraceOptions) (stop func()) {
	if client == nil {
		panic("wsotel: Trace: client is nil")
	}
	provider := o.TracerProvider
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	t := &tracing{tracer: provider.Tracer(scope), attributes: slices.Clone(o.Attributes)}
	// Not wechatws.WithTrace, which is told the same: that is an option of New, and has no
	// context that a span could be linked to. OnError is not needed: StateChange.Err is the
	// same *DialError, and comes with whether and when the next attempt is made.
	stopStates := client.OnStateChange(t.changed)
	stopOpens := client.OnOpen(t.opened)
	return func() {
		stopStates()
		stopOpens()
	}
}

// tracing is one Trace. Callbacks of one client run one at a time.
type tracing struct {
	tracer     trace.Tracer
	attributes []attribute.KeyValue

	// Of the attempt under way.
	number int
	began  time.Time // zero: there is none, or it began before Trace
	ended  time.Time // when it is open and waits for its OnOpen; zero: that was before Trace
}

// changed is told of every state. What follows upon Connecting tells how the attempt
// has ended.
func (t *tracing) changed(ctx context.Context, c wechatws.StateChange) {
	switch {
	case c.To == wechatws.StateOpen: // OnOpen comes next, and knows more
		t.ended = c.At
		return
	case t.began.IsZero(): // there was no attempt, or Trace has not seen it begin
	case c.To == wechatws.StateWaiting, c.To == wechatws.StateFailed:
		t.failed(ctx, c)
	case c.To == wechatws.StateClosed:
		t.record(ctx, c.At, OutcomeClosed)
	default:
		t.record(ctx, c.At, OutcomeRestarted)
	}
	t.began = time.Time{}
	if c.To == wechatws.StateConnecting {
		t.number, t.began = c.Attempt, c.At
	}
}

// opened ends the span of an attempt that succeeded, also of one that had begun before
// Trace was called.
func (t *tracing) opened(ctx context.Context, e wechatws.OpenEvent) {
	if t.began.IsZero() {
		t.began = e.Timings.Start
	}
	end := t.ended
	if end.IsZero() {
		end = e.Timings.Start.Add(e.Timings.Total)
	}
	attributes := []attribute.KeyValue{attribute.Int("wechatws.connection", e.Connection)}
	for _, step := range []struct {
		name string
		took time.Duration
	}{
		{"resolve", e.Timings.Resolve},
		{"connect", e.Timings.Connect},
		{"tls", e.Timings.TLS},
		{"handshake", e.Timings.Handshake},
		{"total", e.Timings.Total},
	} {
		if step.took > 0 {
			attributes = append(attributes, attribute.Float64("wechatws.timing."+step.name, step.took.Seconds()))
		}
	}
	t.number = e.Attempt
	t.record(ctx, end, OutcomeOpen, attributes...)
	t.began, t.ended = time.Time{}, time.Time{}
}

// failed ends the span of an attempt that failed.
func (t *tracing) failed(ctx context.Context, c wechatws.StateChange) {
	permanent := c.To == wechatws.StateFailed
	attributes := []attribute.KeyValue{attribute.Bool("wechatws.permanent", permanent)}
	if !permanent {
		attributes = append(attributes, attribute.Float64("wechatws.retry_in", c.RetryIn.Seconds()))
	}
	span := t.start(ctx, OutcomeFailed, append(attributes, describe(c.Err)...)...)
	if c.Err != nil {
		span.SetStatus(codes.Error, c.Err.Error())
	}
	span.End(trace.WithTimestamp(c.At))
}

// record makes the span of an attempt that is no failure.
func (t *tracing) record(ctx context.Context, at time.Time, outcome string, attributes ...attribute.KeyValue) {
	t.start(ctx, outcome, attributes...).End(trace.WithTimestamp(at))
}

func (t *tracing) start(ctx context.Context, outcome string, attributes ...attribute.KeyValue) trace.Span {
	attributes = append(attributes, attribute.Int("wechatws.attempt", t.number), attribute.String("wechatws.outcome", outcome))
	options := []trace.SpanStartOption{
		trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(t.began),
		trace.WithAttributes(append(attributes, t.attributes...)...),
	}
	if from := trace.SpanContextFromContext(ctx); from.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	_, span := t.tracer.Start(ctx, SpanName, options...)
	return span
}

// describe tells what is known of a failure, beside its text.
func describe(err error) (attributes []attribute.KeyValue) {
	kind := "_OTHER" // what the semantic conventions have for it
	var (
		dial      *wechatws.DialError
		handshake *wechatws.HandshakeError
		panicked  *wechatws.PanicError
		network   net.Error
	)
	if errors.As(err, &dial) {
		kind = string(dial.Phase)
		attributes = append(attributes, attribute.String("wechatws.phase", dial.Phase))
		if host, port, err := net.SplitHostPort(dial.Addr); err == nil {
			attributes = append(attributes, attribute.String("server.address", host))
			if n, err := strconv.Atoi(port); err == nil {
				attributes = append(attributes, attribute.Int("server.port", n))
			}
		}
	}
	switch {
	case errors.As(err, &handshake):
		kind = strconv.Itoa(handshake.Status)
		attributes = append(attributes, attribute.Int("http.response.status_code", handshake.Status))
	case errors.As(err, &panicked):
		kind = "panic"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		kind = "timeout"
	}
	return append(attributes, attribute.String("error.type", kind))
}
