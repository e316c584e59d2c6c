package wsotel_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/wechatws/wechatws"
	wsotel "github.com/wechatws/wechatws/metrics/wsotel"
	"github.com/wechatws/wechatws/wstest"
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

func (r recorder) trace(c *wechatws.Client, attributes ...attribute.KeyValue) (stop func()) {
	return wsotel.Trace(c, wsotel.TraceOptions{TracerProvider: r, Attributes: attributes})
}

// A spanned is what a test looks at.
type spanned struct {
	from, to   time.Duration // since the world's start
	attributes map[string]any
	status     string
}

// spans are those that have ended, of which there must be none that have not.
func (r recorder) spans(w *world) (spans []spanned) {
	w.Helper()
	require.Len(w, r.Started(), len(r.Ended()))
	for _, s := range r.Ended() {
		require.Equal(w, wsotel.SpanName, s.Name())
		require.Equal(w, trace.SpanKindClient, s.SpanKind())
		require.False(w, s.Parent().IsValid(), "a root")
		one := spanned{from: s.StartTime().Sub(w.start), to: s.EndTime().Sub(w.start), attributes: map[string]any{}}
		for _, a := range s.Attributes() {
			one.attributes[string(a.Key)] = a.Value.AsInterface()
		}
		if s.Status().Code == codes.Error {
			one.status = s.Status().Description
		} else {
			require.Equal(w, codes.Unset, s.Status().Code)
		}
		spans = append(spans, one)
	}
	return spans
}

// outcomes are those of the spans that have ended.
func (r recorder) outcomes(w *world) (outcomes []any) {
	w.Helper()
	for _, s := range r.spans(w) {
		outcomes = append(outcomes, s.attributes["wechatws.outcome"])
	}
	return outcomes
}

func TestSpanOfAConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(20 * time.Millisecond)
		r := newRecorder()
		c := w.clientOf("",
			wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
				time.Sleep(time.Second) // asking for a token is part of the attempt
				return wechatws.Endpoint{URL: w.srv.URL()}, nil
			}),
			wechatws.WithLogin(func(context.Context) (any, error) {
				time.Sleep(2 * time.Second) // and so is the login
				return map[string]string{"msg_type": "login"}, nil
			}))
		defer r.trace(c, wsotel.ClientName("a"), attribute.Int("room", 9527))()
		w.connect(c)
		w.sleep(time.Minute)
		require.Equal(t, []spanned{{
			from: 0, to: 3040 * time.Millisecond,
			attributes: map[string]any{
				"wechatws.attempt":          int64(1),
				"wechatws.connection":       int64(1),
				"wechatws.outcome":          "open",
				"wechatws.client.name":      "a",
				"wechatws.timing.handshake": 0.04,
				"wechatws.timing.total":     0.04,
				"room":                      int64(9527),
			},
		}}, r.spans(w))
	})
}

func TestTimingsOfTLS(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr("server.test:443"), wstest.WithTLS())
		defer secure.Close()
		w.net.SetLatency(20 * time.Millisecond)
		r := newRecorder()
		c := w.clientOf(secure.URL(), wechatws.WithTLSConfig(secure.ClientTLS()))
		defer r.trace(c)()
		require.NoError(t, c.Connect(t.Context()))
		w.sleep(0)
		require.Positive(t, r.spans(w)[0].attributes["wechatws.timing.tls"])
	})
}

func TestSpansOfFailures(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		defer r.trace(c)()
		w.net.SetLatency(20 * time.Millisecond)
		w.srv.Answer(
			wstest.Status(503, http.Header{"Retry-After": {"7"}}, "busy"),
			wstest.NoAnswer(),
			wstest.CutHandshake(wstest.RST),
			wstest.Status(401, nil, ""),
		)
		require.Error(t, c.Connect(t.Context()))
		w.sleep(0)
		spans := r.spans(w)
		require.Len(t, spans, 4)

		require.Equal(t, spanned{
			from: 0, to: 40 * time.Millisecond,
			attributes: map[string]any{
				"wechatws.attempt":          int64(1),
				"wechatws.outcome":          "failed",
				"wechatws.phase":             "handshake",
				"wechatws.final":            false,
				"wechatws.retry_in":         7.0,
				"error.type":                "503",
				"http.response.status_code": int64(503),
				"server.address":            "server.test",
				"server.port":               int64(80),
			},
			status: `wechatws: handshake server.test:80: server answered 503 Service Unavailable`,
		}, spans[0])

		began := 7*time.Second + 40*time.Millisecond
		require.Equal(t, spanned{
			from: began, to: began + 10*time.Second,
			attributes: map[string]any{
				"wechatws.attempt":  int64(2),
				"wechatws.outcome":  "failed",
				"wechatws.phase":     "handshake",
				"wechatws.final":    false,
				"wechatws.retry_in": 3.0,
				"error.type":        "timeout",
				"server.address":    "server.test",
				"server.port":       int64(80),
			},
			status: "wechatws: handshake server.test:80: no answer within 10s: context deadline exceeded",
		}, spans[1])

		require.Equal(t, "handshake", spans[2].attributes["error.type"])
		require.Equal(t, "401", spans[3].attributes["error.type"])
		require.Equal(t, true, spans[3].attributes["wechatws.final"])
		require.Equal(t, int64(4), spans[3].attributes["wechatws.attempt"])
		require.NotContains(t, spans[3].attributes, "wechatws.retry_in")
	})
}

func TestErrorTypes(t *testing.T) {
	for name, test := range map[string]struct {
		endpoint func() error
		errorIs  string
	}{
		"error":     {func() error { return errors.New("no token") }, "endpoint"},
		"panic":     {func() error { panic("oh") }, "panic"},
		"final":     {func() error { return backoff.Permanent(errors.New("account is gone")) }, "endpoint"},
		"timed out": {func() error { return context.DeadlineExceeded }, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				r := newRecorder()
				c := w.clientOf("", wechatws.WithoutReconnect(),
					wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
						return wechatws.Endpoint{}, test.endpoint()
					}))
				defer r.trace(c)()
				require.Error(t, c.Connect(t.Context()))
				w.sleep(0)
				spans := r.spans(w)
				require.Len(t, spans, 1)
				require.Equal(t, test.errorIs, spans[0].attributes["error.type"])
				require.Equal(t, "endpoint", spans[0].attributes["wechatws.phase"])
				require.NotContains(t, spans[0].attributes, "server.address")
				require.NotEmpty(t, spans[0].status)
			})
		})
	}
}

func TestAttemptsAreNumberedAsTheClientDoes(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		defer r.trace(c)()
		conn := w.connect(c)
		w.sleep(time.Minute) // stable
		w.srv.Answer(wstest.Status(500, nil, ""))
		conn.Cut(wstest.RST)
		w.sleep(time.Minute)
		var numbers, connections []any
		for _, s := range r.spans(w) {
			numbers = append(numbers, s.attributes["wechatws.attempt"])
			connections = append(connections, s.attributes["wechatws.connection"])
		}
		require.Equal(t, []any{"open", "failed", "open"}, r.outcomes(w))
		require.Equal(t, []any{int64(1), int64(1), int64(2)}, numbers)
		require.Equal(t, []any{int64(1), nil, int64(2)}, connections)
	})
}

func TestAnAttemptThatIsBegunAnew(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		defer r.trace(c)()
		w.srv.Answer(wstest.NoAnswer())
		w.begin(c)
		w.sleep(time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		require.Equal(t, []any{"restarted", "open"}, r.outcomes(w))
		require.Equal(t, time.Second, r.spans(w)[0].to)
		require.Equal(t, time.Second, r.spans(w)[1].from)
		require.Empty(t, r.spans(w)[0].status)
	})
}

// A switchable network can be switched off, once.
type switchable struct {
	mu    sync.Mutex
	off   bool
	watch func(wechatws.NetworkStatus)
}

func (s *switchable) Status() wechatws.NetworkStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off {
		return wechatws.NetworkStatus{Type: "none"}
	}
	return wechatws.NetworkStatus{Connected: true, Type: "wifi"}
}

func (s *switchable) Watch(fn func(wechatws.NetworkStatus)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = fn
	return func() {}
}

func (s *switchable) switchOff() {
	s.mu.Lock()
	s.off = true
	fn := s.watch
	s.mu.Unlock()
	fn(s.Status())
}

func TestAnAttemptThatLosesTheNetwork(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		network := &switchable{}
		c := w.client(wechatws.WithNetworkMonitor(network))
		defer r.trace(c)()
		w.srv.Answer(wstest.NoAnswer())
		w.begin(c)
		w.sleep(time.Second)
		network.switchOff()
		w.sleep(time.Hour)
		require.Equal(t, wechatws.StateOffline, c.State())
		require.Equal(t, []any{"restarted"}, r.outcomes(w))
		require.Equal(t, time.Second, r.spans(w)[0].to)
	})
}

func TestAnAttemptThatIsClosed(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		defer r.trace(c)()
		w.srv.Answer(wstest.NoAnswer())
		w.begin(c)
		w.sleep(2 * time.Second)
		w.close(c)
		w.sleep(time.Second)
		require.Equal(t, []any{"closed"}, r.outcomes(w))
		require.Equal(t, 2*time.Second, r.spans(w)[0].to)
		require.Empty(t, r.spans(w)[0].status, "Close is no error")
	})
}

func TestTimesOfCallbacksThatComeLate(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(20 * time.Millisecond)
		r := newRecorder()
		c := w.client(wechatws.WithLogin(func(context.Context) (any, error) {
			time.Sleep(5 * time.Second)
			return nil, nil
		}))
		first := true
		c.OnStateChange(func(context.Context, wechatws.StateChange) {
			if first {
				time.Sleep(time.Minute)
			}
			first = false
		})
		defer r.trace(c)()
		w.connect(c)
		w.sleep(2 * time.Minute)
		require.Equal(t, time.Duration(0), r.spans(w)[0].from)
		require.Equal(t, 5040*time.Millisecond, r.spans(w)[0].to)
	})
}

func TestTimesOfCallbacksThatComeTooLate(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(20 * time.Millisecond)
		r := newRecorder()
		c := w.client()
		blocked := make(chan struct{})
		c.OnStateChange(func(context.Context, wechatws.StateChange) { <-blocked })
		defer r.trace(c)()
		conn := w.connect(c)
		w.sleep(time.Second)
		w.srv.Answer(wstest.Status(401, nil, "")) // that it ends
		conn.Cut(wstest.RST)
		w.sleep(5 * time.Second)
		require.Empty(t, r.Ended())
		close(blocked)
		w.sleep(0)
		spans := r.spans(w)
		require.Len(t, spans, 2)
		require.Equal(t, []time.Duration{0, 40 * time.Millisecond}, []time.Duration{spans[0].from, spans[0].to},
			"not when the callback came")
		again := 4*time.Second + 40*time.Millisecond // cut a second after it had opened, and the wait of 3 s
		require.Equal(t, []time.Duration{again, again + 40*time.Millisecond}, []time.Duration{spans[1].from, spans[1].to})
	})
}

func TestTimesAreNotThoseOfALaterAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		blocked := make(chan struct{})
		c.OnStateChange(func(context.Context, wechatws.StateChange) { <-blocked })
		defer r.trace(c)()
		conn := w.connect(c)
		w.sleep(time.Minute) // stable: the next attempt is the first again
		conn.Cut(wstest.RST)
		w.sleep(time.Minute)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Equal(t, 1, c.Stats().Attempt)
		close(blocked)
		w.sleep(time.Second)
		spans := r.spans(w)
		require.Len(t, spans, 2)
		require.Equal(t, []time.Duration{0, 0}, []time.Duration{spans[0].from, spans[0].to})
		require.Equal(t, 63*time.Second, spans[1].from)
		require.Equal(t, 63*time.Second, spans[1].to)
	})
}

func TestTimesWithTraceAmidThings(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		conn := w.connect(c)
		w.sleep(time.Minute)
		defer r.trace(c)()
		w.srv.Answer(wstest.Delay(time.Second, wstest.Status(500, nil, "")))
		conn.Cut(wstest.RST)
		w.sleep(time.Minute)
		require.Equal(t, []any{"failed", "open"}, r.outcomes(w))
		require.Equal(t, []time.Duration{63 * time.Second, 64 * time.Second},
			[]time.Duration{r.spans(w)[0].from, r.spans(w)[0].to})
	})
}

func TestTraceInACallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		var remove func()
		remove = c.OnStateChange(func(_ context.Context, change wechatws.StateChange) {
			if change.To == wechatws.StateConnecting {
				_ = r.trace(c) // never stopped, which harms nobody
				remove()
			}
		})
		w.srv.Answer(wstest.Delay(time.Second, wstest.Accept()))
		w.connect(c)
		w.sleep(0)
		require.Equal(t, []any{"open"}, r.outcomes(w))
		require.Equal(t, time.Second, r.spans(w)[0].to)
	})
}

func TestTraceInTheMiddleOfAnAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		w.srv.Answer(wstest.Delay(2*time.Second, wstest.Accept()))
		w.begin(c)
		w.sleep(time.Second)
		defer r.trace(c)()
		w.sleep(time.Minute)
		spans := r.spans(w)
		require.Equal(t, []any{"open"}, r.outcomes(w))
		require.Equal(t, []time.Duration{0, 2 * time.Second}, []time.Duration{spans[0].from, spans[0].to}, "from the timings")
	})
}

func TestStopTracing(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		stop := r.trace(c)
		w.srv.Answer(wstest.NoAnswer())
		w.begin(c)
		stop()
		stop()
		w.sleep(time.Minute)
		require.Empty(t, r.Started(), "not the one under way either")
		require.Equal(t, wechatws.StateOpen, c.State())
	})
}

func TestSpansAreLinkedToTheOneOfConnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client()
		defer r.trace(c)()
		ctx, parent := r.Tracer("test").Start(t.Context(), "start-up")
		require.NoError(t, c.Connect(ctx))
		parent.End()
		w.sleep(time.Second)
		for _, s := range r.Ended() {
			if s.Name() == wsotel.SpanName {
				require.Len(t, s.Links(), 1)
				require.Equal(t, parent.SpanContext(), s.Links()[0].SpanContext)
				require.NotEqual(t, parent.SpanContext().TraceID(), s.SpanContext().TraceID())
				return
			}
		}
		t.Fatal("no span")
	})
}

func TestASamplerSeesTheOutcome(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		recorded := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorded), sdktrace.WithSampler(onlyFailures{}))
		c := w.client()
		defer wsotel.Trace(c, wsotel.TraceOptions{TracerProvider: provider})()
		w.srv.Answer(wstest.Status(500, nil, ""))
		w.connect(c)
		w.sleep(0)
		require.Len(t, recorded.Ended(), 1)
		require.Equal(t, codes.Error, recorded.Ended()[0].Status().Code)
	})
}

type onlyFailures struct{}

func (onlyFailures) Description() string { return "only failures" }

func (onlyFailures) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	for _, a := range p.Attributes {
		if a == attribute.String("wechatws.outcome", wsotel.OutcomeFailed) {
			return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
		}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

func TestNoSecretsInSpans(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.clientOf("ws://user:s3cr3t-password@server.test/path?token=s3cr3t-token",
			wechatws.WithHeader(http.Header{"Authorization": {"Bearer s3cr3t-header"}}))
		defer r.trace(c)()
		w.srv.Answer(
			wstest.Status(500, http.Header{"Set-Cookie": {"s3cr3t-cookie"}}, "no s3cr3t-token, Bearer s3cr3t-header"),
			wstest.Status(403, nil, "s3cr3t-password"))
		require.Error(t, c.Connect(t.Context()))
		w.sleep(0)
		require.Len(t, r.spans(w), 2)
		for _, s := range r.Ended() {
			require.NotContains(t, s.Status().Description, "s3cr3t")
			for _, a := range s.Attributes() {
				require.NotContains(t, a.Value.String(), "s3cr3t")
			}
			require.Empty(t, s.Events())
		}
	})
}

func TestTraceOfNil(t *testing.T) {
	require.PanicsWithValue(t, "wsotel: Trace: client is nil", func() { wsotel.Trace(nil, wsotel.TraceOptions{}) })
}
