package wechatws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A tracer records each call of its functions, with the time.
type tracer struct {
	start time.Time
	mu    sync.Mutex
	log   []string
}

func (t *tracer) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = append(t.log, fmt.Sprintf("%v ", time.Since(t.start))+fmt.Sprintf(format, args...))
}

func (t *tracer) trace() wechatws.Trace {
	return wechatws.Trace{
		DialStart: func(_ context.Context, i wechatws.DialInfo) context.Context { t.note("dial %d", i.Attempt); return nil },
		DialDone: func(_ context.Context, i wechatws.DialInfo) {
			t.note("dialed %d: connection %d, %v, %v", i.Attempt, i.Connection, i.Timings.Total, i.Err)
		},
		Open:  func(_ context.Context, e wechatws.OpenEvent) { t.note("open %d", e.Connection) },
		Close: func(_ context.Context, e wechatws.CloseEvent) { t.note("close %d: %d", e.Connection, e.Code) },
		Retry: func(_ context.Context, e wechatws.StateChange) {
			t.note("%v to %v: %d in %v", e.From, e.To, e.Attempt, e.RetryIn)
		},
		Ping: func(_ context.Context, i wechatws.PingInfo) { t.note("ping %d", i.Connection) },
		Pong: func(_ context.Context, i wechatws.PingInfo) { t.note("pong %d %v", i.Connection, i.RTT) },
		MessageStart: func(_ context.Context, i wechatws.MessageInfo) context.Context {
			t.note("start %d %q %v %d %v", i.Connection, i.Type, i.Binary, i.Size, i.Waited)
			return nil
		},
		MessageDone: func(_ context.Context, i wechatws.MessageInfo) {
			t.note("done %d %q %v %d %v %v", i.Connection, i.Type, i.Binary, i.Size, i.Waited, i.Took)
		},
		MessageSent: func(_ context.Context, i wechatws.MessageInfo) {
			t.note("sent %d %v %d %v", i.Connection, i.Binary, i.Size, i.Waited)
		},
		Dropped: func(_ context.Context, err *wechatws.DroppedError) {
			t.note("dropped %s: %v", err.Messages[0].Data, err.Err)
		},
	}
}

func TestTrace(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(10 * time.Millisecond)
		one, two := &tracer{start: w.start}, &tracer{start: w.start}
		c := w.client(wechatws.WithoutHeartbeat(), wechatws.WithQueue(1, 1000, wechatws.QueueDropOldest),
			wechatws.WithTrace((&tracer{}).trace()), // replaced by the next one
			wechatws.WithTrace(one.trace(), wechatws.Trace{}, two.trace()))
		wechatws.On(c.Client, "x", func(context.Context, struct{}) { time.Sleep(time.Second) })
		w.srv.Answer(wstest.Status(502, nil, "no"))
		c.send("lost", "kept")
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		require.NoError(t, conn.SendBinary([]byte("yy")))
		w.sleep(3500 * time.Millisecond)
		require.NoError(t, conn.Close(4001, ""))
		w.sleep(time.Second)
		c.close()
		require.ElementsMatch(t, []string{ // the order within an instant is open
			"0s dropped lost: wechatws: outbound queue is full",
			"0s dial 1",
			`20ms dialed 1: connection 0, 20ms, wechatws: handshake server.test:80: server answered 502 Bad Gateway`,
			"20ms connecting to waiting: 2 in 3s",
			"3.02s dial 2",
			"3.04s dialed 2: connection 1, 20ms, <nil>",
			"3.04s open 1",
			"3.04s sent 1 false 4 3.04s",
			`3.05s start 1 "x" false 16 0s`,
			`4.05s done 1 "x" false 16 0s 1s`,
			`4.05s start 1 "" true 2 1s`,
			`4.05s done 1 "" true 2 1s 0s`,
			"6.04s ping 1",
			"6.06s pong 1 20ms",
			"6.55s close 1: 4001",
			"6.55s open to waiting: 3 in 3s",
		}, one.log)
		require.Equal(t, len(one.log), len(two.log))
	})
}

// The functions may call the client, and their panics are reported.
func TestTraceFunctionsMayCallTheClientAndPanic(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var c *client
		var opens atomic.Int64
		look := func() { opens.Store(int64(c.Stats().Opens)); _ = c.State(); panic("oops") }
		c = w.client(wechatws.WithTrace(wechatws.Trace{
			DialStart:    func(context.Context, wechatws.DialInfo) context.Context { look(); return nil },
			DialDone:     func(context.Context, wechatws.DialInfo) { look() },
			Open:         func(context.Context, wechatws.OpenEvent) { look() },
			Close:        func(context.Context, wechatws.CloseEvent) { look() },
			Retry:        func(context.Context, wechatws.StateChange) { look() },
			Ping:         func(context.Context, wechatws.PingInfo) { look() },
			Pong:         func(context.Context, wechatws.PingInfo) { look() },
			MessageStart: func(context.Context, wechatws.MessageInfo) context.Context { look(); return nil },
			MessageDone:  func(context.Context, wechatws.MessageInfo) { look() },
			MessageSent:  func(context.Context, wechatws.MessageInfo) { look() },
			Dropped:      func(context.Context, *wechatws.DroppedError) { look() },
		}), wechatws.WithQueue(1, 1000, wechatws.QueueDropOldest))
		c.send("lost", "kept")
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(4 * time.Second)
		conn.Cut(wstest.FIN)
		w.sleep(time.Second)
		require.EqualValues(t, 1, opens.Load())
		panics := 0
		for _, err := range c.errors() {
			if pe := (*wechatws.PanicError)(nil); errors.As(err, &pe) {
				panics++
			}
		}
		require.Equal(t, 11, panics, "each of the functions once: %v", c.errors())
		c.close()
	})
}

// A key for values in contexts.
type key string

// marks is what has been put into a context under "mark", outermost first.
func marks(ctx context.Context) string { s, _ := ctx.Value(key("mark")).(string); return s }

func mark(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, key("mark"), marks(ctx)+name)
}

// The context that DialStart returns is the one of the whole attempt.
func TestTheContextOfAnAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		seen := map[string]string{}
		note := func(place string, ctx context.Context) {
			mu.Lock()
			defer mu.Unlock()
			seen[place] = marks(ctx)
		}
		c := w.clientOf("",
			wechatws.WithEndpoint(func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) {
				note("endpoint", ctx)
				return wechatws.Endpoint{URL: w.srv.URL()}, nil
			}),
			wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				note("net dial", ctx)
				return w.net.DialContext(ctx, network, addr)
			}),
			wechatws.WithLogin(func(ctx context.Context) (any, error) {
				note("login", ctx)
				return nil, nil
			}),
			wechatws.WithTrace(wechatws.Trace{
				DialStart: func(ctx context.Context, i wechatws.DialInfo) context.Context {
					note("dial start", ctx)
					return mark(ctx, fmt.Sprint(" attempt ", i.Attempt))
				},
				DialDone: func(ctx context.Context, _ wechatws.DialInfo) { note("dial done", ctx) },
				Open:     func(ctx context.Context, _ wechatws.OpenEvent) { note("open", ctx) },
				Close:    func(ctx context.Context, _ wechatws.CloseEvent) { note("close", ctx) },
			}))
		c.AfterConnect(time.Second, func(ctx context.Context, _ *wechatws.Setup) error {
			note("after connect", ctx)
			return nil
		})
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { note("on open", ctx) })
		require.NoError(t, c.Connect(mark(t.Context(), "connect")))
		w.sleep(0)
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Second)
		c.close()
		require.Equal(t, map[string]string{
			"dial start": "connect", "endpoint": "connect attempt 1", "net dial": "connect attempt 1",
			"login": "connect attempt 1", "after connect": "connect attempt 1",
			"dial done": "connect attempt 1", "open": "connect attempt 1",
			"on open": "connect", "close": "connect",
		}, seen)
	})
}

// What DialStart puts into the header goes out with the handshake, instead of what the
// endpoint and WithHeader have under the same name.
func TestDialStartAddsToTheHandshake(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var done http.Header
		c := w.client(wechatws.WithHeader(http.Header{"X-Own": {"own"}, "Traceparent": {"own"}}),
			wechatws.WithTrace(wechatws.Trace{
				DialStart: func(_ context.Context, i wechatws.DialInfo) context.Context {
					i.Header.Set("traceparent", fmt.Sprint("attempt ", i.Attempt))
					return nil
				},
				DialDone: func(_ context.Context, i wechatws.DialInfo) { done = i.Header },
			}))
		w.srv.Answer(wstest.Status(502, nil, ""))
		c.connect()
		header := w.conn().Request().Header
		w.sleep(0) // DialDone comes when Connect may have returned
		require.Equal(t, []string{"attempt 2"}, header["Traceparent"])
		require.Equal(t, []string{"own"}, header["X-Own"])
		require.Equal(t, http.Header{"Traceparent": {"attempt 2"}}, done)
		c.close()
	})
}

// The context that MessageStart returns is the one of the message's callbacks.
func TestTheContextOfAMessage(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var seen []string
		note := func(place string, ctx context.Context) { seen = append(seen, place+": "+marks(ctx)) }
		c := w.client(wechatws.WithTrace(wechatws.Trace{
			MessageStart: func(ctx context.Context, i wechatws.MessageInfo) context.Context {
				return mark(ctx, " "+i.Type)
			},
			MessageDone: func(ctx context.Context, _ wechatws.MessageInfo) { note("done", ctx) },
		}))
		wechatws.On(c.Client, "x", func(ctx context.Context, _ struct{}) { note("On", ctx) })
		wechatws.On(c.Client, "bad", func(context.Context, struct{ N int }) {})
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) { note("OnMessage", ctx) })
		c.OnUnknown(func(ctx context.Context, _ wechatws.Message) { note("OnUnknown", ctx) })
		c.OnError(func(ctx context.Context, _ error) { note("OnError", ctx) })
		require.NoError(t, c.Connect(mark(t.Context(), "connect")))
		conn := w.conn()
		for _, text := range []string{`{"msg_type":"x"}`, `{"msg_type":"y"}`, `{"msg_type":"bad","n":"1"}`} {
			require.NoError(t, conn.Send(text))
		}
		w.sleep(time.Second)
		c.close()
		require.Equal(t, []string{
			"OnMessage: connect x", "On: connect x", "done: connect x",
			"OnMessage: connect y", "OnUnknown: connect y", "done: connect y",
			"OnMessage: connect bad", "OnError: connect bad", "done: connect bad",
		}, seen)
	})
}

// MessageSent has the values of the context of Send, and never its end.
func TestTheContextOfAMessageThatIsSent(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var seen []string
		c := w.client(wechatws.WithTrace(wechatws.Trace{
			MessageSent: func(ctx context.Context, _ wechatws.MessageInfo) {
				seen = append(seen, fmt.Sprint(marks(ctx), " ", ctx.Err()))
			},
		}))
		ctx, cancel := context.WithCancel(mark(t.Context(), "send"))
		require.NoError(t, c.Send(ctx, 1))
		cancel()
		c.connect()
		w.sleep(time.Second)
		require.Equal(t, []string{"send <nil>"}, seen)
		c.close()
	})
}

// Traces receive the contexts of those before them; a fault of one does not affect the others.
func TestTracesTogether(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var seen string
		trace := func(name string) wechatws.Trace {
			return wechatws.Trace{DialStart: func(ctx context.Context, _ wechatws.DialInfo) context.Context {
				return mark(ctx, name)
			}}
		}
		c := w.client(wechatws.WithTrace(
			trace("a"),
			wechatws.Trace{DialStart: func(context.Context, wechatws.DialInfo) context.Context { panic("oops") }},
			wechatws.Trace{DialStart: func(context.Context, wechatws.DialInfo) context.Context { return nil }},
			wechatws.Trace{DialStart: func(context.Context, wechatws.DialInfo) context.Context { return (*nilContext)(nil) }},
			trace("b"),
		), wechatws.WithLogin(func(ctx context.Context) (any, error) { seen = marks(ctx); return nil, nil }))
		c.connect()
		w.sleep(0)
		require.Equal(t, "ab", seen)
		require.Len(t, c.errors(), 1, "of the panic")
		c.close()
	})
}

type nilContext struct{ context.Context }

// The cancellation of a context that a trace function returns has no effect, and the client's
// values are found through it.
func TestContextsOfTraceFunctionsDoNotCancel(t *testing.T) {
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("by the hook"))
	for name, returned := range map[string]context.Context{"ended": ended, "without end": context.Background()} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(wechatws.WithTrace(wechatws.Trace{
					DialStart:    func(context.Context, wechatws.DialInfo) context.Context { return returned },
					MessageStart: func(context.Context, wechatws.MessageInfo) context.Context { return returned },
				}), wechatws.WithLogin(func(ctx context.Context) (any, error) {
					require.NoError(t, ctx.Err())
					require.Equal(t, "connect", marks(ctx))
					return nil, nil
				}))
				var after error
				wechatws.On(c.Client, "x", func(ctx context.Context, _ struct{}) {
					require.NoError(t, ctx.Err())
					require.NoError(t, context.Cause(ctx))
					require.Equal(t, "connect", marks(ctx))
					child, cancel := context.WithCancel(ctx)
					defer cancel()
					<-child.Done()
					after = context.Cause(ctx)
				})
				require.NoError(t, c.Connect(mark(t.Context(), "connect")))
				require.NoError(t, w.conn().Send(`{"msg_type":"x"}`))
				w.sleep(time.Hour)
				require.NoError(t, after)
				c.close()
				require.ErrorIs(t, after, context.Canceled)

				w.srv.AnswerAlways(wstest.NoAnswer())
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.Error(t, c.Connect(ctx))
				require.Equal(t, time.Second, time.Since(began), "the attempt ends with the client")
			})
		})
	}
}

// DialDone distinguishes an attempt that has failed from one that was canceled.
func TestDialDoneOfAnAttemptThatIsEnded(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var errs []error
		c := w.client(wechatws.WithTrace(wechatws.Trace{
			DialDone: func(_ context.Context, i wechatws.DialInfo) { errs = append(errs, i.Err) },
		}))
		w.srv.Answer(wstest.NoAnswer(), wstest.Status(502, nil, ""), wstest.NoAnswer())
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(4 * time.Second)
		c.close()
		w.sleep(0)
		require.Len(t, errs, 3)
		require.ErrorIs(t, errs[0], wechatws.ErrReconnect)
		var failed *wechatws.DialError
		require.ErrorAs(t, errs[1], &failed)
		require.NotErrorIs(t, errs[1], wechatws.ErrReconnect)
		require.NotErrorIs(t, errs[1], wechatws.ErrClosed)
		require.ErrorIs(t, errs[2], wechatws.ErrClosed)
	})
}

// Timings has the durations of the user's functions, which are not part of Total.
func TestTimingsOfTheUsersFunctions(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(10 * time.Millisecond)
		c := w.clientOf("",
			wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
				time.Sleep(time.Second)
				return wechatws.Endpoint{URL: w.srv.URL()}, nil
			}),
			wechatws.WithLogin(func(context.Context) (any, error) { time.Sleep(2 * time.Second); return nil, nil }))
		c.AfterConnect(time.Minute, func(context.Context, *wechatws.Setup) error { time.Sleep(3 * time.Second); return nil })
		c.connect()
		w.sleep(0)
		require.Equal(t, wechatws.Timings{
			Start:    w.start.Add(time.Second),
			Endpoint: time.Second, Handshake: 20 * time.Millisecond, Login: 2 * time.Second, Setup: 3 * time.Second,
			Total: 20 * time.Millisecond,
		}, c.opens[0].Timings)
		c.close()
	})
}

// logged is a logger, and what it has written, with the time since the start.
func logged(w *world, level slog.Level) (*slog.Logger, func() []string) {
	var buffer bytes.Buffer
	handler := slog.NewTextHandler(&buffer, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.DurationValue(a.Value.Time().Sub(w.start))
		}
		return a
	}})
	return slog.New(handler), func() []string {
		return strings.Split(strings.TrimSpace(strings.ReplaceAll(buffer.String(), "wechatws.", "")), "\n")
	}
}

func TestLogLines(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		logger, lines := logged(w, slog.LevelDebug)
		c := w.client(append(quiet(), wechatws.WithLogger(logger), wechatws.WithQueue(1, 1000, wechatws.QueueDropOldest))...)
		wechatws.On(c.Client, "panic", func(context.Context, struct{}) { panic("oops") })
		c.send("lost", "kept")
		c.connect()
		conn := w.conn()
		for range 9 {
			require.NoError(t, conn.Send("no JSON, token=hunter2"))
		}
		require.NoError(t, conn.Send(`{"msg_type":"panic"}`))
		w.sleep(0)
		require.NoError(t, conn.Close(4001, "kicked"))
		w.sleep(4 * time.Second)
		_ = c.Reconnect()
		w.sleep(time.Second)
		c.close()
		text := strings.Join(lines(), "\n")
		for _, want := range []string{
			"level=DEBUG msg=dialing attempt=1",
			`level=WARN msg="messages dropped" count=1 err="outbound queue is full"`,
			`level=WARN msg="message not used" count=1 type="" size=22 err="`,
			`level=WARN msg="message not used" count=2 `,
			`level=DEBUG msg="message not used" count=3 `,
			`level=WARN msg="message not used" count=8 `,
			`level=DEBUG msg="message not used" count=9 `,
			`level=ERROR msg="user function panicked" value=oops stack="goroutine `,
			`level=WARN msg="connection lost" connection=1 lasted=0s code=4001 err="wechatws: peer closed the connection: close code 4001"`,
			`level=INFO msg=connected connection=2 attempt=2 took=0s`,
			`err="wechatws: connection ended: close code 1006 (abnormal closure): reconnect requested"`,
		} {
			require.Contains(t, text, want)
		}
		require.NotContains(t, text, "hunter2", "no message's data")
	})
}

func TestLogOfAFinalError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		logger, lines := logged(w, slog.LevelInfo)
		w.srv.AnswerAlways(wstest.Status(403, nil, "banned"))
		c := w.client(wechatws.WithLogger(logger))
		require.Error(t, c.Connect(t.Context()))
		w.sleep(0)
		require.Equal(t, []string{`time=0s level=ERROR msg=failed attempt=1 err="wechatws: handshake server.test:80: server answered 403 Forbidden"`}, lines())
	})
}

// Durations are text in JSON logs too, as in events and in Stats.
func TestDurationsInJSONLogsAreText(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var b bytes.Buffer
		w.srv.Answer(wstest.Status(502, nil, ""))
		c := w.client(wechatws.WithLogger(slog.New(slog.NewJSONHandler(&b, nil)))).connect()
		w.sleep(1500 * time.Millisecond)
		w.conn().Cut(wstest.RST)
		w.sleep(time.Second)
		_ = c.CloseNow()
		w.sleep(0)
		for _, want := range []string{`"took":"0s","away":"3s"`, `"lasted":"1.5s"`, `"away":"0s","delay":"3s"`} {
			require.Contains(t, b.String(), want)
		}
	})
}
