package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Numbers that a wrong computation may result in. Without a unit a Duration of 1 is 1 ns.
var extremes = []int64{0, -1, 1, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64}

// The numbers in options, by option and parameter or by type and field.
var optionNumbers = map[string]func(n int64) wechatws.Option{
	"WithDialTimeout.d":    func(n int64) wechatws.Option { return wechatws.WithDialTimeout(time.Duration(n)) },
	"WithReadLimit.bytes":  func(n int64) wechatws.Option { return wechatws.WithReadLimit(n) },
	"WithStableAfter.d":    func(n int64) wechatws.Option { return wechatws.WithStableAfter(time.Duration(n)) },
	"WithPermanentAfter.d": func(n int64) wechatws.Option { return wechatws.WithPermanentAfter(time.Duration(n)) },
	"WithDrainTimeout.d":   func(n int64) wechatws.Option { return wechatws.WithDrainTimeout(time.Duration(n)) },
	"WithJitter.fraction":  func(n int64) wechatws.Option { return wechatws.WithJitter(float64(n)) },
	"WithQueue.messages":   func(n int64) wechatws.Option { return wechatws.WithQueue(whole(n), 1<<20, wechatws.QueueFail) },
	"WithQueue.bytes":      func(n int64) wechatws.Option { return wechatws.WithQueue(16, whole(n), wechatws.QueueDropOldest) },
	"WithQueue.whenFull":   func(n int64) wechatws.Option { return wechatws.WithQueue(16, 1<<20, wechatws.QueuePolicy(whole(n))) },
	"Heartbeat.Interval": func(n int64) wechatws.Option {
		return wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Duration(n)})
	},
	"Heartbeat.First": func(n int64) wechatws.Option {
		return wechatws.WithHeartbeat(wechatws.Heartbeat{First: time.Duration(n)})
	},
	"Liveness.Interval": func(n int64) wechatws.Option {
		return wechatws.WithLiveness(wechatws.Liveness{Interval: time.Duration(n), Timeout: math.MaxInt64})
	},
	"Liveness.Timeout": func(n int64) wechatws.Option {
		return wechatws.WithLiveness(wechatws.Liveness{Timeout: time.Duration(n)})
	},
	"WithParallel.n": func(n int64) wechatws.Option {
		return wechatws.WithParallel(func(m wechatws.Message) string { return m.Type }, whole(n))
	},
	"Tier.Delay":    func(n int64) wechatws.Option { return wechatws.WithTiers(wechatws.Tier{Delay: time.Duration(n)}) },
	"Tier.Attempts": func(n int64) wechatws.Option { return wechatws.WithTiers(wechatws.Tier{Attempts: whole(n)}) },
}

// Each extreme value is refused with an error that names the option, the value and what would be
// right, or the client works with it: it connects, without a loop of attempts, sends, receives and
// closes.
func TestEveryNumberAtItsExtremes(t *testing.T) {
	for name, option := range optionNumbers {
		for _, n := range extremes {
			t.Run(fmt.Sprint(name, "/", n), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c, err := wechatws.New(w.srv.URL(), wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext), option(n))
					if err != nil {
						refused(t, err, n)
						return
					}
					works(w, watch(t, c).record())
				})
			})
		}
	}
	for _, fraction := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.1, 1.1, math.MaxFloat64} {
		_, err := wechatws.New("ws://h", wechatws.WithJitter(fraction))
		require.Error(t, err)
		assert.ErrorContains(t, err, fmt.Sprintf("WithJitter(%v): must be from 0 to 1", fraction))
	}
}

// whole returns the int that is closest to n: it may have 32 bits.
func whole(n int64) int { return int(min(max(n, math.MinInt), math.MaxInt)) }

// refused requires that err is about an option, and shows the value.
func refused(t *testing.T, err error, n int64) {
	t.Helper()
	var oe *wechatws.OptionError
	require.ErrorAs(t, err, &oe)
	assert.NotEmpty(t, oe.Option)
	assert.NotEmpty(t, oe.Want)
	shown := strings.Contains(oe.Value, fmt.Sprint(n)) || strings.Contains(oe.Value, time.Duration(n).String()) ||
		strings.Contains(oe.Value, fmt.Sprint(float64(n))) || strings.Contains(oe.Value, fmt.Sprint(whole(n)))
	assert.True(t, shown, "%d is shown in %v", n, err)
}

// works requires that a client works, whose server is down for a second.
func works(w *world, c *client) {
	w.Helper()
	w.srv.Stop(wstest.FIN)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(w.Context()) }()
	w.sleep(time.Second)
	assert.LessOrEqual(w, len(w.net.Dials()), 1001, "no loop of attempts")
	assert.NotEmpty(w, w.net.Dials())
	w.srv.Start()
	if c.State() == wechatws.StateFailed { // its only attempt
		require.Error(w, <-ended)
		return
	}
	require.NoError(w, c.Reconnect())
	w.sleep(0)
	require.Equal(w, wechatws.StateOpen, c.State())
	conn := w.conn()
	large := `{"msg_type":"x","pad":"` + strings.Repeat("x", 100_000) + `"}`
	require.NoError(w, conn.Send(large))
	sent := c.Send(w.Context(), wechatws.Text("hello"))
	w.sleep(time.Second)
	if got := c.texts(); len(got) > 0 { // otherwise it is larger than the read limit
		assert.Equal(w, []string{large}, got)
	} else {
		assert.ErrorAs(w, errors.Join(c.errors()...), new(*wechatws.ReadLimitError))
	}
	w.sleep(time.Minute)
	var texts []string
	for _, conn := range w.srv.Conns() {
		texts = append(texts, received(conn)...)
	}
	if sent == nil {
		assert.Contains(w, texts, "hello")
	} else {
		assert.ErrorIs(w, sent, wechatws.ErrQueueFull)
	}
	assert.LessOrEqual(w, len(received(conn)), 25, "no loop of heartbeats")
	assert.LessOrEqual(w, conn.Pings(), 25, "no loop of pings")
	began := time.Now()
	require.NoError(w, c.Close(wechatws.StatusNormalClosure, ""))
	assert.LessOrEqual(w, time.Since(began), closeBound)
	require.NoError(w, <-ended)
	<-c.Done()
}

// The table above has each number that an option takes.
func TestTheTableOfNumbersIsComplete(t *testing.T) {
	numeric := map[string]bool{"int": true, "int64": true, "float64": true, "QueuePolicy": true, "time.Duration": true}
	text := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.SelectorExpr:
			return fmt.Sprint(e.X, ".", e.Sel)
		case *ast.Ellipsis:
			return fmt.Sprint(e.Elt)
		}
		return ""
	}
	structs, taken := map[string][]string{}, map[string]bool{}
	var want []string
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	fields := func(of string, list *ast.FieldList) (names []string) {
		for _, f := range list.List {
			for _, name := range f.Names {
				if numeric[text(f.Type)] && name.IsExported() != (of[:4] == "With") {
					names = append(names, of+"."+name.Name)
				}
			}
		}
		return names
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && len(n.Name.Name) >= 4 {
					structs[n.Name.Name] = fields(n.Name.Name, s.Fields)
				}
			case *ast.FuncDecl:
				if n.Recv == nil && strings.HasPrefix(n.Name.Name, "With") && n.Type.Results != nil && text(n.Type.Results.List[0].Type) == "Option" {
					want = append(want, fields(n.Name.Name, n.Type.Params)...)
					for _, p := range n.Type.Params.List {
						taken[text(p.Type)] = true
					}
				}
				return false
			}
			return true
		})
	}
	for name := range taken {
		want = append(want, structs[name]...)
	}
	for _, name := range want {
		assert.Contains(t, optionNumbers, name)
	}
	assert.Len(t, want, len(optionNumbers))
}

// What a policy returns is a delay of at least 1 ms, whatever it is, with and without jitter.
func TestABackOffAtItsExtremes(t *testing.T) {
	for _, delay := range append(extremes, -2, int64(time.Millisecond)-1) {
		for _, jitter := range []float64{0, 0.5, 1} {
			t.Run(fmt.Sprint(delay, "/", jitter), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.Stop(wstest.FIN)
					c := w.client(append(quiet(), wechatws.WithJitter(jitter), wechatws.WithBackOff(func() backoff.BackOff {
						return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Duration(delay)), 2000)
					}))...)
					go func() { _ = c.Connect(t.Context()) }()
					w.sleep(200 * time.Millisecond)
					dials := len(w.net.Dials())
					switch {
					case delay == int64(backoff.Stop):
						assert.Equal(t, 1, dials)
						assert.Equal(t, wechatws.StateFailed, c.State())
						return
					case delay >= math.MaxInt64-1:
						assert.Equal(t, 1, dials)
						assert.Greater(t, c.lastChange().RetryIn, time.Hour)
					default:
						assert.LessOrEqual(t, dials, 201)
						assert.Greater(t, dials, 100)
					}
					require.NoError(t, c.CloseNow())
				})
			})
		}
	}
}

// The numbers of methods are refused or harmless too.
func TestEveryNumberOfAMethodAtItsExtremes(t *testing.T) {
	for _, n := range extremes {
		d := time.Duration(n)
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) { _ = conn.Send(m.Text()) })
				c := w.client(quiet()...)
				c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error { o.HoldQueue(d); return nil })
				c.connect()
				conn := w.conn()
				held := d > time.Hour
				match := func(text string) func(wechatws.Message) bool {
					return func(m wechatws.Message) bool { return string(m.Data) == text }
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()

				_, err := c.SendConfirmed(ctx, wechatws.Text("confirmed"), match("confirmed"), wechatws.ConfirmTimeout(d))
				switch {
				case d < time.Millisecond:
					refused(t, err, n)
				case held:
					assert.ErrorIs(t, err, context.DeadlineExceeded)
				default:
					assert.NoError(t, err)
				}
				ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err = c.Request(ctx, wechatws.Text("request"), match("request"), wechatws.ExpireAfter(d))
				switch {
				case d <= 1:
					assert.ErrorIs(t, err, wechatws.ErrExpired)
				case held:
					assert.ErrorIs(t, err, context.DeadlineExceeded)
				default:
					assert.NoError(t, err)
				}
				assert.LessOrEqual(t, len(conn.Received()), 2)
				refused(t, c.Close(wechatws.StatusCode(whole(n)), ""), n)
				if n != 1 {
					assert.ErrorIs(t, c.Disconnect(whole(n), errors.New("enough")), wechatws.ErrNotOpen)
				}
				require.NoError(t, c.CloseNow())
				w.sleep(0)

				c.AfterConnect(d, func(context.Context, *wechatws.Setup) error { return nil })
				if err := c.Connect(t.Context()); d < time.Millisecond {
					refused(t, err, n)
				} else {
					require.NoError(t, err)
					_ = c.CloseNow()
				}
			})
		})
	}
}

// Run waits for the callbacks of a client that was closed, also with the longest drain timeout: its
// sum with the time of a close handshake is no Duration.
func TestRunWaitsForCallbacksWithTheLongestDrainTimeout(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithDrainTimeout(forever))...)
		over := false
		c.OnClose(func(context.Context, wechatws.CloseEvent) { time.Sleep(time.Second); over = true })
		ran := make(chan error, 1)
		go func() { ran <- c.Run(t.Context()) }()
		w.conn()
		w.sleep(0)
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		require.NoError(t, <-ran)
		assert.True(t, over)
	})
}
