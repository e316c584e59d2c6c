package wsotel_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsotel"
	"github.com/wechatws/wechatws/wstest"
)

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
			}),
			r.option(wsotel.WithAttributes(wsotel.ClientName("a"), attribute.Int("room", 9527))))
		c.AfterConnect(time.Minute, func(context.Context, *wechatws.Setup) error {
			time.Sleep(3 * time.Second)
			return nil
		})
		w.connect(c)
		w.sleep(time.Minute)
		every := map[string]any{"wechatws.client.name": "a", "room": int64(9527)}
		require.Equal(t, []spanned{{
			name: "wechatws.connect",
			from: 0, to: 6040 * time.Millisecond,
			attributes: map[string]any{
				"wechatws.attempt":     int64(1),
				"wechatws.connection":  int64(1),
				"wechatws.outcome":     "open",
				"wechatws.client.name": "a",
				"room":                 int64(9527),
			},
		}}, r.attempts(w))
		require.Equal(t, []spanned{
			{name: "wechatws.connect.endpoint", from: 0, to: time.Second, attributes: every},
			{name: "wechatws.connect.handshake", from: time.Second, to: 1040 * time.Millisecond, attributes: every},
			{name: "wechatws.connect.login", from: 1040 * time.Millisecond, to: 3040 * time.Millisecond, attributes: every},
			{name: "wechatws.connect.setup", from: 3040 * time.Millisecond, to: 6040 * time.Millisecond, attributes: every},
		}, r.phases(w, 1))
	})
}

func TestPhaseOfTLS(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr("server.test:443"), wstest.WithTLS())
		defer secure.Close()
		w.net.SetLatency(20 * time.Millisecond)
		r := newRecorder()
		c := w.clientOf(secure.URL(), wechatws.WithTLSConfig(secure.ClientTLS()), r.option())
		require.NoError(t, c.Connect(t.Context()))
		w.sleep(0)
		phases := r.phases(w, 1)
		require.Len(t, phases, 2)
		require.Equal(t, "wechatws.connect.tls", phases[0].name)
		require.Equal(t, "wechatws.connect.handshake", phases[1].name)
		require.Equal(t, phases[0].to, phases[1].from)
	})
}

// The spans of the user's functions are in that of the attempt that they are part of.
func TestSpansOfTheUsersFunctionsAreChildrenOfTheAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		span := func(ctx context.Context, name string) {
			_, s := r.Tracer("test").Start(ctx, name)
			s.End()
		}
		other := wechatws.Trace{DialStart: func(ctx context.Context, _ wechatws.DialInfo) context.Context {
			ctx, s := r.Tracer("test").Start(ctx, "of another trace")
			s.End()
			return ctx
		}}
		for name, traces := range map[string][]wechatws.Trace{
			"wechatws.connect": {wsotel.Trace(wsotel.WithTracerProvider(r))},
			"of another trace": {wsotel.Trace(wsotel.WithTracerProvider(r)), other},
		} {
			r.Reset()
			c := w.clientOf("",
				wechatws.WithEndpoint(func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) {
					span(ctx, "token")
					return wechatws.Endpoint{URL: w.srv.URL()}, nil
				}),
				wechatws.WithLogin(func(ctx context.Context) (any, error) {
					span(ctx, "sign")
					return nil, nil
				}),
				wechatws.WithTrace(traces...))
			c.AfterConnect(time.Second, func(ctx context.Context, _ *wechatws.Setup) error {
				span(ctx, "join")
				return nil
			})
			w.connect(c)
			w.sleep(time.Second)
			parent := r.named(w, name).SpanContext()
			for _, name := range []string{"token", "sign", "join"} {
				require.Equal(t, parent.SpanID(), r.named(w, name).Parent().SpanID(), name)
			}
			require.Equal(t, []any{"open"}, r.outcomes(w))
		}
	})
}

func TestTheSpanTravelsInTheHandshake(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client(r.option(wsotel.WithPropagator(propagation.TraceContext{})))
		header := propagation.HeaderCarrier(w.connect(c).Request().Header)
		w.sleep(0)
		require.NotEmpty(t, header.Get("traceparent"))
		arrived := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(), header))
		sent := r.named(w, "wechatws.connect").SpanContext()
		require.Equal(t, sent.TraceID(), arrived.TraceID())
		require.Equal(t, sent.SpanID(), arrived.SpanID())
	})
}

func TestSpanOfAMessage(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client(r.option(wsotel.WithMessageSpans(), wsotel.WithAttributes(wsotel.ClientName("a"))))
		wechatws.On(c, "x", func(ctx context.Context, _ struct{}) {
			_, s := r.Tracer("test").Start(ctx, "store")
			time.Sleep(time.Second)
			s.End()
		})
		ctx, root := r.Tracer("test").Start(t.Context(), "run")
		require.NoError(t, c.Connect(ctx))
		conn, err := w.srv.NextConn(t.Context())
		require.NoError(t, err)
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		require.NoError(t, conn.Send(`{"msg_type":"`+strings.Repeat("é", 101)+`"}`))
		w.sleep(time.Minute)
		root.End()
		var messages []spanned
		for _, s := range r.ended(w) {
			if s.Name() == wsotel.MessageSpan {
				require.Equal(t, trace.SpanKindConsumer, s.SpanKind())
				require.False(t, s.Parent().IsValid())
				require.Equal(t, root.SpanContext(), s.Links()[0].SpanContext)
				messages = append(messages, w.look(s))
			}
		}
		require.Equal(t, []spanned{
			{name: "wechatws.message", from: 0, to: time.Second, attributes: map[string]any{
				"wechatws.connection": int64(1), "wechatws.message.type": "x", "network.io.size": int64(16),
				"wechatws.message.waited": 0.0, "wechatws.client.name": "a",
			}},
			{name: "wechatws.message", from: time.Second, to: time.Second, attributes: map[string]any{
				"wechatws.connection": int64(1), "wechatws.message.type": strings.Repeat("é", 100), "network.io.size": int64(217),
				"wechatws.message.waited": 1.0, "wechatws.client.name": "a",
			}},
		}, messages)
		require.Equal(t, r.named(w, "wechatws.message").SpanContext().SpanID(), r.named(w, "store").Parent().SpanID())
	})
}

func TestNoSpansOfMessagesUnlessAskedFor(t *testing.T) {
	hooks := wsotel.Trace()
	require.Nil(t, hooks.MessageStart)
	require.Nil(t, hooks.MessageDone)
}

func TestSpansOfFailures(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client(r.option())
		w.net.SetLatency(20 * time.Millisecond)
		w.srv.Answer(
			wstest.Status(503, nil, "busy"),
			wstest.NoAnswer(),
			wstest.CutHandshake(wstest.RST),
			wstest.Status(401, nil, ""),
		)
		require.Error(t, c.Connect(t.Context()))
		w.sleep(0)
		spans := r.attempts(w)
		require.Len(t, spans, 4)

		busy := `wechatws: handshake server.test:80: server answered 503 Service Unavailable`
		require.Equal(t, spanned{
			name: "wechatws.connect",
			from: 0, to: 40 * time.Millisecond,
			attributes: map[string]any{
				"wechatws.attempt":          int64(1),
				"wechatws.outcome":          "failed",
				"wechatws.phase":            "handshake",
				"error.type":                "503",
				"http.response.status_code": int64(503),
				"server.address":            "server.test",
				"server.port":               int64(80),
			},
			status: busy,
		}, spans[0])

		began := 3*time.Second + 40*time.Millisecond
		silent := "wechatws: handshake server.test:80: no answer within 10s: context deadline exceeded"
		require.Equal(t, spanned{
			name: "wechatws.connect",
			from: began, to: began + 10*time.Second,
			attributes: map[string]any{
				"wechatws.attempt": int64(2),
				"wechatws.outcome": "failed",
				"wechatws.phase":   "handshake",
				"error.type":       "timeout",
				"server.address":   "server.test",
				"server.port":      int64(80),
			},
			status: silent,
		}, spans[1])
		require.Equal(t, []spanned{{
			name: "wechatws.connect.handshake", from: began, to: began + 10*time.Second,
			attributes: map[string]any{}, status: silent,
		}}, r.phases(w, 2))

		require.Equal(t, "handshake", spans[2].attributes["error.type"])
		require.Equal(t, "401", spans[3].attributes["error.type"])
		require.Equal(t, int64(4), spans[3].attributes["wechatws.attempt"])
	})
}

// The phase that failed begins where the last one that succeeded has ended.
func TestPhaseOfAFailedLogin(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(20 * time.Millisecond)
		r := newRecorder()
		c := w.client(wechatws.WithoutReconnect(), r.option(),
			wechatws.WithLogin(func(context.Context) (any, error) {
				time.Sleep(time.Second)
				return nil, errors.New("no token")
			}))
		require.Error(t, c.Connect(t.Context()))
		w.sleep(0)
		require.Equal(t, []spanned{
			{name: "wechatws.connect.handshake", from: 0, to: 40 * time.Millisecond, attributes: map[string]any{}},
			{name: "wechatws.connect.login", from: 40 * time.Millisecond, to: 1040 * time.Millisecond,
				attributes: map[string]any{}, status: "wechatws: login: no token"},
		}, r.phases(w, 1))
		require.Equal(t, int64(1), r.attempts(w)[0].attributes["wechatws.connection"])
	})
}

func TestErrorTypes(t *testing.T) {
	for name, test := range map[string]struct {
		endpoint func() error
		errorIs  string
	}{
		"error":     {func() error { return errors.New("no token") }, "endpoint"},
		"panic":     {func() error { panic("oh") }, "panic"},
		"permanent": {func() error { return wechatws.Permanent(errors.New("account is gone")) }, "endpoint"},
		"timed out": {func() error { return context.DeadlineExceeded }, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				r := newRecorder()
				c := w.clientOf("", wechatws.WithoutReconnect(), r.option(),
					wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
						return wechatws.Endpoint{}, test.endpoint()
					}))
				require.Error(t, c.Connect(t.Context()))
				w.sleep(0)
				spans := r.attempts(w)
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
		c := w.client(r.option())
		conn := w.connect(c)
		w.sleep(time.Minute) // stable
		w.srv.Answer(wstest.Status(500, nil, ""))
		conn.Cut(wstest.RST)
		w.sleep(time.Minute)
		var numbers, connections []any
		for _, s := range r.attempts(w) {
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
		c := w.client(r.option())
		w.srv.Answer(wstest.NoAnswer())
		w.begin(c)
		w.sleep(time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		require.Equal(t, []any{"restarted", "open"}, r.outcomes(w))
		require.Equal(t, time.Second, r.attempts(w)[0].to)
		require.Equal(t, time.Second, r.attempts(w)[1].from)
		require.Empty(t, r.attempts(w)[0].status)
		require.Empty(t, r.phases(w, 1)[0].status)
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
		c := w.client(wechatws.WithNetworkMonitor(network), r.option())
		w.srv.Answer(wstest.NoAnswer())
		w.begin(c)
		w.sleep(time.Second)
		network.switchOff()
		w.sleep(time.Hour)
		require.Equal(t, wechatws.StateOffline, c.State())
		require.Equal(t, []any{"restarted"}, r.outcomes(w))
		require.Equal(t, time.Second, r.attempts(w)[0].to)
	})
}

func TestAnAttemptThatIsClosed(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client(r.option())
		w.srv.Answer(wstest.NoAnswer())
		w.begin(c)
		w.sleep(2 * time.Second)
		w.close(c)
		w.sleep(time.Second)
		require.Equal(t, []any{"closed"}, r.outcomes(w))
		require.Equal(t, 2*time.Second, r.attempts(w)[0].to)
		require.Empty(t, r.attempts(w)[0].status, "Close is no error")
	})
}

// Attempts are part of the trace of Connect or Run while that is made, and linked to it
// afterwards.
func TestParentsOfAttempts(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.client(r.option())
		ctx, parent := r.Tracer("test").Start(t.Context(), "run")
		w.srv.Answer(wstest.Status(502, nil, ""))
		require.NoError(t, c.Connect(ctx))
		parent.End()
		conn, err := w.srv.NextConn(t.Context())
		require.NoError(t, err)
		conn.Cut(wstest.RST)
		w.sleep(time.Minute)
		var attempts []sdktrace.ReadOnlySpan
		for _, s := range r.ended(w) {
			if s.Name() == wsotel.ConnectSpan {
				attempts = append(attempts, s)
			}
		}
		require.Len(t, attempts, 3)
		for _, s := range attempts[:2] {
			require.Equal(t, parent.SpanContext().SpanID(), s.Parent().SpanID())
			require.Empty(t, s.Links())
		}
		require.False(t, attempts[2].Parent().IsValid())
		require.Equal(t, parent.SpanContext(), attempts[2].Links()[0].SpanContext)
	})
}

// What a sampler does not want costs no more than it must, and its children are not wanted.
func TestAttemptsThatAreNotSampled(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		recorded := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorded), sdktrace.WithSampler(sdktrace.NeverSample()))
		c := w.client(wechatws.WithTrace(wsotel.Trace(wsotel.WithTracerProvider(provider), wsotel.WithMessageSpans())))
		require.NoError(t, w.connect(c).Send(`{"msg_type":"x"}`))
		w.sleep(time.Second)
		require.Empty(t, recorded.Started())
	})
}

func TestNoSecretsInSpans(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := newRecorder()
		c := w.clientOf("ws://user:s3cr3t-password@server.test/path?token=s3cr3t-token", r.option(),
			wechatws.WithHeader(http.Header{"Authorization": {"Bearer s3cr3t-header"}}))
		w.srv.Answer(
			wstest.Status(500, http.Header{"Set-Cookie": {"s3cr3t-cookie"}}, "no s3cr3t-token, Bearer s3cr3t-header"),
			wstest.Status(403, nil, "s3cr3t-password"))
		require.Error(t, c.Connect(t.Context()))
		w.sleep(0)
		require.Len(t, r.attempts(w), 2)
		for _, s := range r.Ended() {
			require.NotContains(t, s.Status().Description, "s3cr3t")
			for _, a := range s.Attributes() {
				require.NotContains(t, a.Value.String(), "s3cr3t")
			}
			require.Empty(t, s.Events())
		}
	})
}

// A program that has set nothing up traces nothing.
func TestTraceOnTheGlobalProviders(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithTrace(wsotel.Trace()))
		require.NotContains(t, w.connect(c).Request().Header, "Traceparent")
	})
}
