package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// obeys are the ways in which a program obeys a message that says "do not come back".
var obeys = map[string]func(c *wechatws.Client, banned *atomic.Bool, m wechatws.Message){
	"Fail": func(c *wechatws.Client, _ *atomic.Bool, _ wechatws.Message) { c.Fail(errBanned) },
	"Disconnect": func(c *wechatws.Client, _ *atomic.Bool, m wechatws.Message) {
		_ = c.Disconnect(m.Connection, wechatws.Permanent(errBanned))
	},
	"WithRetryIf": func(_ *wechatws.Client, banned *atomic.Bool, _ wechatws.Message) { banned.Store(true) },
}

// A "do not come back" in the last message before the close is obeyed, whatever the callbacks before
// it take.
func TestTheLastMessageIsObeyed(t *testing.T) {
	runs := 125 // of four delays and two ends: a thousand for each way
	if testing.Short() {
		runs = 5
	}
	ends := map[string]func(c *wstest.Conn){
		"close": func(c *wstest.Conn) { _ = c.Close(1000, "") },
		"FIN":   func(c *wstest.Conn) { c.Cut(wstest.FIN) },
	}
	for how, obey := range obeys {
		for end, do := range ends {
			t.Run(how+" "+end, func(t *testing.T) {
				for i := range runs {
					for _, busy := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
						virtual(t, func(t *testing.T, w *world) {
							banned := new(atomic.Bool)
							c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}),
								wechatws.WithRetryIf(func(wechatws.Failure) bool { return !banned.Load() }))...)
							wechatws.On(c.Client, "busy", func(context.Context, wechatws.Message) { time.Sleep(busy) })
							wechatws.On(c.Client, "ban", func(_ context.Context, m wechatws.Message) { obey(c.Client, banned, m) })
							result := c.running()
							conn := w.conn()
							for range i % 3 {
								_ = conn.Send(`{"msg_type":"busy"}`)
							}
							_ = conn.Send(`{"msg_type":"ban"}`)
							do(conn)
							err := <-result
							require.Equal(t, how != "WithRetryIf", errors.Is(err, errBanned))
							require.Equal(t, wechatws.StateFailed, c.State())
							require.Equal(t, 1, c.Stats().Attempts)
						})
					}
				}
			})
		}
	}
}

// The same with real sockets.
func TestTheLastMessageIsObeyedOnARealSocket(t *testing.T) {
	srv := wstest.NewServer()
	defer srv.Close()
	for how, obey := range obeys {
		for i, busy := range []time.Duration{0, 0, 0, 0, 0, 5 * time.Millisecond, 50 * time.Millisecond} {
			t.Run(fmt.Sprint(how, i), func(t *testing.T) {
				banned := new(atomic.Bool)
				c, err := wechatws.New(srv.URL(), append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}),
					wechatws.WithRetryIf(func(wechatws.Failure) bool { return !banned.Load() }))...)
				require.NoError(t, err)
				wechatws.On(c, "busy", func(context.Context, wechatws.Message) { time.Sleep(busy) })
				wechatws.On(c, "ban", func(_ context.Context, m wechatws.Message) { obey(c, banned, m) })
				result := make(chan error, 1)
				go func() { result <- c.Run(t.Context()) }()
				conn, err := srv.NextConn(t.Context())
				require.NoError(t, err)
				_ = conn.Send(`{"msg_type":"busy"}`)
				_ = conn.Send(`{"msg_type":"ban"}`)
				_ = conn.Close(1000, "")
				require.Error(t, <-result)
				require.Equal(t, 1, c.Stats().Attempts)
				<-c.Done()
			})
		}
	}
}

// A client with one callback that blocks; what is released ends it.
func blocked(t *testing.T, w *world, callback func(ctx context.Context, c *client), options ...wechatws.Option) (*client, *wstest.Conn) {
	c := w.client(append(quiet(), options...)...)
	wechatws.On(c.Client, "block", func(ctx context.Context, _ wechatws.Message) { callback(ctx, c) })
	c.connect()
	conn := w.conn()
	require.NoError(t, conn.Send(`{"msg_type":"block"}`))
	w.sleep(0)
	return c, conn
}

// The state and its times are right while the client waits for callbacks, and so are they after it.
func TestStatesWhileCallbacksRun(t *testing.T) {
	for name, tt := range map[string]struct {
		busy time.Duration // of the callback
		open time.Duration // when the client is open again
		asks time.Duration // when WithRetryIf is asked
	}{
		"shorter than the wait": {time.Second, 3 * time.Second, time.Second},
		"longer than the wait":  {5 * time.Second, 5 * time.Second, 5 * time.Second},
		"without end":           {time.Hour, 10 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var asked []time.Duration
				c, conn := blocked(t, w, func(context.Context, *client) { time.Sleep(tt.busy) },
					wechatws.WithRetryIf(func(wechatws.Failure) bool { asked = append(asked, w.since()); return true }))
				conn.Cut(wstest.FIN)
				w.sleep(0)
				s := c.Stats()
				assert.Equal(t, wechatws.StateWaiting, s.State)
				assert.Equal(t, []time.Time{w.start, w.start.Add(3 * time.Second)}, []time.Time{s.Since, s.RetryAt})
				w.sleep(tt.open - 1)
				assert.Equal(t, wechatws.StateWaiting, c.State())
				w.sleep(1)
				assert.Equal(t, wechatws.StateOpen, c.State())
				assert.Equal(t, []time.Duration{tt.asks}, asked)
				_ = c.Close(wechatws.StatusNormalClosure, "")
				w.sleep(time.Hour)
				assert.Equal(t, []string{"connecting", "open", "waiting", "connecting", "open", "closed"}, c.states())
			})
		})
	}
}

// A policy that has no further delay, and none at all, wait too, so that the error of Fail is the one
// of Run.
func TestFailAfterTheLastConnection(t *testing.T) {
	for name, option := range map[string]wechatws.Option{
		"WithoutReconnect": wechatws.WithoutReconnect(),
		"WithRetryIf":      wechatws.WithRetryIf(func(wechatws.Failure) bool { return false }),
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c, conn := blocked(t, w, func(_ context.Context, c *client) { time.Sleep(time.Second); c.Fail(errBanned) }, option)
				conn.Cut(wstest.FIN)
				w.sleep(time.Second)
				assert.Equal(t, wechatws.StateFailed, c.State())
				assert.Equal(t, errBanned, c.lastChange().Err)
			})
		})
	}
}

// A callback that waits in a call of the client is not waited for when the next attempt is due.
func TestACallbackThatWaitsForTheClientIsNotWaitedFor(t *testing.T) {
	reply := func(m wechatws.Message) bool { return m.Type == "reply" }
	for name, tt := range map[string]struct {
		call    func(ctx context.Context, c *client) error
		options []wechatws.Option
	}{
		"Request": {func(ctx context.Context, c *client) error {
			_, err := c.Request(ctx, "x", reply)
			return err
		}, nil},
		"SendConfirmed": {func(ctx context.Context, c *client) error {
			_, err := c.SendConfirmed(ctx, "x", reply)
			return err
		}, nil},
		"Flush": {func(ctx context.Context, c *client) error {
			c.send("x")
			return c.Flush(ctx)
		}, nil},
		"Send": {func(ctx context.Context, c *client) error {
			c.send("x")
			return c.Send(ctx, "x")
		}, []wechatws.Option{wechatws.WithQueue(1, 100, wechatws.QueueWait)}},
	} {
		for when, before := range map[string]time.Duration{"before": time.Second, "when it is due": 4 * time.Second} {
			t.Run(name+" "+when, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.OnMessage(func(c *wstest.Conn, _ wstest.Message) { _ = c.Send(`{"msg_type":"reply"}`) })
					result := make(chan error, 1)
					c, conn := blocked(t, w, func(ctx context.Context, c *client) {
						time.Sleep(before)
						result <- tt.call(ctx, c)
					}, tt.options...)
					conn.Cut(wstest.FIN)
					require.NoError(t, <-result)
					require.Equal(t, max(before, 3*time.Second), w.since())
					c.close()
				})
			})
		}
	}
}

// Reconnect does not wait for callbacks, also if it is called in one of them.
func TestReconnectWaitsForNoCallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var opened time.Duration
		reconnect := func(_ context.Context, c *client) {
			assert.NoError(t, c.Reconnect())
			w.conn()
			opened = w.since()
		}
		c, _ := blocked(t, w, reconnect)
		require.Equal(t, 2, c.Stats().Opens)
		require.Zero(t, opened)
		c.close()
	})
	virtual(t, func(t *testing.T, w *world) {
		c, conn := blocked(t, w, func(context.Context, *client) { time.Sleep(time.Hour) })
		conn.Cut(wstest.FIN)
		w.sleep(time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		require.Equal(t, wechatws.StateOpen, c.State())
		_ = c.CloseNow()
		w.sleep(time.Hour)
	})
}

// A trace function that calls Reconnect runs after the end of the connection and before the wait.
func TestReconnectBeforeTheWaitForCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var c *client
		c = w.client(append(quiet(), wechatws.WithTrace(wechatws.Trace{Close: func(context.Context, wechatws.CloseEvent) {
			_ = c.Reconnect()
		}}))...)
		c.OnOpen(func(context.Context, wechatws.OpenEvent) { time.Sleep(5 * time.Second) })
		require.NoError(t, c.Connect(t.Context()))
		w.conn().Cut(wstest.FIN)
		w.sleep(0)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.NoError(t, c.CloseNow())
		w.sleep(time.Hour)
	})
}

// The end of the client ends the wait, and a change of the network does not.
func TestTheWaitForCallbacksEnds(t *testing.T) {
	for name, end := range map[string]func(c *client){
		"Close": func(c *client) { _ = c.Close(wechatws.StatusNormalClosure, "") },
		"Fail":  func(c *client) { c.Fail(errBanned) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				asked := false
				c, conn := blocked(t, w, func(context.Context, *client) { time.Sleep(time.Minute) },
					wechatws.WithRetryIf(func(wechatws.Failure) bool { asked = true; return true }))
				conn.Cut(wstest.FIN)
				w.sleep(time.Second)
				began := w.since()
				end(c)
				w.sleep(0)
				require.True(t, c.State() == wechatws.StateClosed || c.State() == wechatws.StateFailed)
				require.NoError(t, c.CloseNow())
				again := make(chan error, 1)
				go func() { again <- c.Connect(t.Context()) }()
				w.sleep(0)
				require.NoError(t, <-again, "the session is done")
				require.Equal(t, began, w.since())
				require.False(t, asked)
				_ = c.CloseNow()
				w.sleep(time.Minute)
			})
		})
	}
	t.Run("network", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			n := newFakeNetwork(true)
			c, conn := blocked(t, w, func(context.Context, *client) { time.Sleep(5 * time.Second) }, wechatws.WithNetworkMonitor(n))
			conn.Cut(wstest.FIN)
			w.sleep(time.Second)
			n.set(false)
			n.set(true)
			w.sleep(4*time.Second - 1)
			require.Equal(t, 1, c.Stats().Attempts)
			w.sleep(1)
			require.Equal(t, wechatws.StateOpen, c.State(), "the rest of the wait has ended")
			c.close()
		})
	})
}

// A policy that fails is an error of its own, also when it is asked behind a callback.
func TestARetryPolicyThatFailsBehindACallback(t *testing.T) {
	for name, fails := range map[string]func(){"panic": func() { panic("policy") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c, conn := blocked(t, w, func(context.Context, *client) { time.Sleep(time.Second) },
					wechatws.WithRetryIf(func(wechatws.Failure) bool { fails(); return true }))
				conn.Cut(wstest.FIN)
				w.sleep(time.Second)
				require.Equal(t, wechatws.StateFailed, c.State())
				require.ErrorAs(t, c.lastChange().Err, new(*wechatws.PanicError))
				<-c.Done()
			})
		})
	}
}
