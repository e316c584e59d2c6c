package wsotel_test

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsotel"
)

// A recorder keeps the spans of a world's clients.
type recorder struct {
	*tracetest.SpanRecorder
	*sdktrace.TracerProvider
}

func newRecorder() recorder {
	r := tracetest.NewSpanRecorder()
	return recorder{r, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))}
}

// option has a client traced.
func (r recorder) option(options ...wsotel.TraceOption) wechatws.Option {
	return wechatws.WithTrace(wsotel.Trace(append(options, wsotel.WithTracerProvider(r))...))
}

// A spanned is what a test looks at.
type spanned struct {
	name       string
	from, to   time.Duration // since the world's start
	attributes map[string]any
	status     string
}

func (w *world) look(s sdktrace.ReadOnlySpan) spanned {
	one := spanned{name: s.Name(), from: s.StartTime().Sub(w.start), to: s.EndTime().Sub(w.start), attributes: map[string]any{}}
	for _, a := range s.Attributes() {
		one.attributes[string(a.Key)] = a.Value.AsInterface()
	}
	if s.Status().Code == codes.Error {
		one.status = s.Status().Description
	} else {
		require.Equal(w, codes.Unset, s.Status().Code)
	}
	return one
}

// ended are the spans that have ended, of which there must be none that have not.
func (r recorder) ended(w *world) []sdktrace.ReadOnlySpan {
	w.Helper()
	require.Len(w, r.Started(), len(r.Ended()))
	return r.Ended()
}

// attempts are the spans of attempts.
func (r recorder) attempts(w *world) (attempts []spanned) {
	w.Helper()
	for _, s := range r.ended(w) {
		if s.Name() == wsotel.ConnectSpan {
			require.Equal(w, trace.SpanKindClient, s.SpanKind())
			attempts = append(attempts, w.look(s))
		}
	}
	return attempts
}

// outcomes are those of the attempts.
func (r recorder) outcomes(w *world) (outcomes []any) {
	w.Helper()
	for _, s := range r.attempts(w) {
		outcomes = append(outcomes, s.attributes["wechatws.outcome"])
	}
	return outcomes
}

// phases are the children of the nth attempt, which are in its time.
func (r recorder) phases(w *world, n int) (phases []spanned) {
	w.Helper()
	var attempt sdktrace.ReadOnlySpan
	for _, s := range r.ended(w) {
		if s.Name() == wsotel.ConnectSpan {
			if n--; n == 0 {
				attempt = s
			}
		}
	}
	for _, s := range r.Ended() {
		if strings.HasPrefix(s.Name(), wsotel.ConnectSpan+".") && s.Parent().SpanID() == attempt.SpanContext().SpanID() {
			require.False(w, s.StartTime().Before(attempt.StartTime()))
			require.False(w, s.EndTime().After(attempt.EndTime()))
			phases = append(phases, w.look(s))
		}
	}
	return phases
}

// named is the span of that name.
func (r recorder) named(w *world, name string) sdktrace.ReadOnlySpan {
	w.Helper()
	for _, s := range r.ended(w) {
		if s.Name() == name {
			return s
		}
	}
	w.Fatalf("no span %q", name)
	return nil
}
