package wsotel

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wechatws/wechatws"
)

// The names of spans.
const (
	ConnectSpan = "wechatws.connect" // of an attempt; those of its phases begin with it
	MessageSpan = "wechatws.message" // of a message, see [WithMessageSpans]
)

// Outcomes of an attempt: the values of the attribute wechatws.outcome.
const (
	OutcomeOpen      = "open"      // the connection is open, and logged in
	OutcomeFailed    = "failed"    // the span's status is an error
	OutcomeRestarted = "restarted" // Reconnect, or a change of the network, has restarted the attempt
	OutcomeClosed    = "closed"    // the client was closed
)

// Trace returns a trace that makes a span of each connection attempt; see the package's
// documentation. Pass it to [wechatws.WithTrace], alone or with others. It may be used for
// any number of clients.
func Trace(options ...TraceOption) wechatws.Trace {
	t := &tracer{provider: otel.GetTracerProvider(), propagator: otel.GetTextMapPropagator()}
	for _, option := range options {
		if option == nil {
			panic("wsotel: Trace: an option is nil")
		}
		option(t)
	}
	t.tracer = t.provider.Tracer(scope)
	hooks := wechatws.Trace{DialStart: t.dialStart, DialDone: t.dialDone}
	if t.messages {
		hooks.MessageStart, hooks.MessageDone = t.messageStart, t.messageDone
	}
	return hooks
}

// A tracer is the result of Trace. It is the key of its spans in contexts, where they are not
// the innermost ones if the client has other traces.
type tracer struct {
	provider   trace.TracerProvider
	propagator propagation.TextMapPropagator
	attributes []attribute.KeyValue
	messages   bool
	tracer     trace.Tracer
}

// A started is a span that has not ended.
type started struct {
	span trace.Span
	at   time.Time
}

func (t *tracer) start(ctx context.Context, name string, kind trace.SpanKind, root bool, attributes ...attribute.KeyValue) context.Context {
	now := time.Now()
	options := []trace.SpanStartOption{
		trace.WithSpanKind(kind),
		trace.WithTimestamp(now),
		trace.WithAttributes(attributes...),
		trace.WithAttributes(t.attributes...),
	}
	if parent := trace.SpanFromContext(ctx); root || ended(parent) {
		options = append(options, trace.WithNewRoot())
		if parent.SpanContext().IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: parent.SpanContext()}))
		}
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	return context.WithValue(ctx, t, started{span, now})
}

// ended reports whether span has been recorded to its end. A span that is not sampled, or is
// of another process, can be a parent: the sampler decides about its children.
func ended(span trace.Span) bool {
	c := span.SpanContext()
	return c.IsSampled() && !c.IsRemote() && !span.IsRecording()
}

func (t *tracer) dialStart(ctx context.Context, i wechatws.DialInfo) context.Context {
	ctx = t.start(ctx, ConnectSpan, trace.SpanKindClient, false, attribute.Int("wechatws.attempt", i.Attempt))
	t.propagator.Inject(ctx, propagation.HeaderCarrier(i.Header))
	return ctx
}

func (t *tracer) dialDone(ctx context.Context, i wechatws.DialInfo) {
	attempt, ok := ctx.Value(t).(started)
	if !ok {
		return
	}
	now := time.Now()
	defer attempt.span.End(trace.WithTimestamp(now))
	if !attempt.span.IsRecording() {
		return
	}
	if i.Connection > 0 {
		attempt.span.SetAttributes(attribute.Int("wechatws.connection", i.Connection))
	}
	var failure error
	outcome := OutcomeOpen
	switch {
	case errors.Is(i.Err, wechatws.ErrReconnect):
		outcome = OutcomeRestarted
	case errors.Is(i.Err, wechatws.ErrClosed):
		outcome = OutcomeClosed
	case i.Err != nil:
		outcome, failure = OutcomeFailed, i.Err
		attempt.span.SetAttributes(describe(i.Err)...)
		attempt.span.SetStatus(codes.Error, i.Err.Error())
	}
	attempt.span.SetAttributes(attribute.String("wechatws.outcome", outcome))
	t.phases(trace.ContextWithSpan(ctx, attempt.span), attempt.at, now, i, failure)
}

// phases makes the spans of the phases of an attempt. The timings have the durations of the
// phases that succeeded, the end of the endpoint function and the time of the server's answer.
// The other phases follow each other.
func (t *tracer) phases(ctx context.Context, from, end time.Time, i wechatws.DialInfo, failure error) {
	phase := func(name string, from, to time.Time, err error) {
		_, span := t.tracer.Start(ctx, ConnectSpan+"."+name, trace.WithTimestamp(from), trace.WithAttributes(t.attributes...))
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End(trace.WithTimestamp(to))
	}
	took := i.Timings
	for _, one := range []struct {
		name string
		took time.Duration
	}{
		{"endpoint", took.Endpoint},
		{"resolve", took.Resolve},
		{"connect", took.Connect},
		{"tls", took.TLS},
		{"handshake", took.Handshake},
		{"login", took.Login},
		{"setup", took.Setup},
	} {
		if one.took <= 0 {
			continue
		}
		switch one.name {
		case "endpoint":
			from = took.Start.Add(-one.took)
		case "handshake":
			from = took.Start.Add(took.Total - one.took)
		}
		to := from.Add(one.took)
		phase(one.name, from, to, nil)
		from = to
	}
	var dial *wechatws.DialError
	if errors.As(i.Err, &dial) {
		phase(dial.Phase, from, end, failure)
	}
}

func (t *tracer) messageStart(ctx context.Context, i wechatws.MessageInfo) context.Context {
	attributes := []attribute.KeyValue{
		attribute.Int("wechatws.connection", i.Connection),
		attribute.Int("network.io.size", i.Size),
		attribute.Float64("wechatws.message.waited", i.Waited.Seconds()),
	}
	if i.Type != "" {
		attributes = append(attributes, attribute.String("wechatws.message.type", shortened(i.Type)))
	}
	return t.start(ctx, MessageSpan, trace.SpanKindConsumer, true, attributes...)
}

func (t *tracer) messageDone(ctx context.Context, _ wechatws.MessageInfo) {
	if message, ok := ctx.Value(t).(started); ok {
		message.span.End()
	}
}

// shortened limits the length of an attribute whose value comes from a server.
func shortened(s string) string {
	const limit = 200
	return strings.ToValidUTF8(s[:min(len(s), limit)], "")
}

// describe returns the attributes of a failure.
func describe(err error) (attributes []attribute.KeyValue) {
	kind := "_OTHER" // the value of the semantic conventions for an unknown error
	var (
		dial      *wechatws.DialError
		handshake *wechatws.HandshakeError
		panicked  *wechatws.PanicError
		network   net.Error
	)
	if errors.As(err, &dial) {
		kind = dial.Phase
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
