package wechatws_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// slowPolicy is a retry policy that takes a moment, so that what happens between the
// end of a connection and the wait after it is certain to happen in between. Each
// wait is 450 s.
func slowPolicy(judged func()) []wechatws.Option {
	return append(quiet(),
		wechatws.WithTiers(wechatws.Tier{Delay: 450 * time.Second}),
		wechatws.WithRetryIf(func(wechatws.Failure) bool {
			time.Sleep(time.Millisecond)
			judged()
			return true
		}))
}

// asks is a BackOff whose methods call functions.
type asks struct {
	next, reset func()
}

func (b asks) NextBackOff() time.Duration { b.next(); return 450 * time.Second }
func (b asks) Reset()                     { b.reset() }

// An askPlace is a function of the user that calls ask.
type askPlace struct {
	options func(w *world, ask func()) []wechatws.Option
	watch   func(c *client, ask func())
}

func inTrace(make func(ask func()) wechatws.Trace) askPlace {
	return askPlace{options: func(_ *world, ask func()) []wechatws.Option {
		return []wechatws.Option{wechatws.WithTrace(make(ask))}
	}}
}

func inBackOff(make func(ask func()) asks) askPlace {
	return askPlace{options: func(_ *world, ask func()) []wechatws.Option {
		return []wechatws.Option{wechatws.WithBackOff(func() backoff.BackOff { return make(ask) })}
	}}
}

func onState(state wechatws.State) askPlace {
	return askPlace{watch: func(c *client, ask func()) {
		c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
			if e.To == state {
				ask()
			}
		})
	}}
}

// The functions that run between the end of a connection, or of an attempt, and the next wait,
// or at the beginning of that wait.
var (
	eitherGap = map[string]askPlace{
		"RetryIf":       {options: func(_ *world, ask func()) []wechatws.Option { return slowPolicy(ask) }},
		"NextBackOff":   inBackOff(func(ask func()) asks { return asks{ask, func() {}} }),
		"OnStateChange": onState(wechatws.StateWaiting),
		"Trace.Retry": inTrace(func(ask func()) wechatws.Trace {
			return wechatws.Trace{Retry: func(context.Context, wechatws.StateChange) { ask() }}
		}),
	}
	gapAfterLoss = map[string]askPlace{
		"OnClose": {watch: func(c *client, ask func()) {
			c.OnClose(func(context.Context, wechatws.CloseEvent) { ask() })
		}},
		"Reset": inBackOff(func(ask func()) asks {
			calls := 0
			return asks{func() {}, func() {
				if calls++; calls == 2 { // the first one is that of Run
					ask()
				}
			}}
		}),
		"Trace.Close": inTrace(func(ask func()) wechatws.Trace {
			return wechatws.Trace{Close: func(context.Context, wechatws.CloseEvent) { ask() }}
		}),
	}
	gapAfterFailure = map[string]askPlace{
		"OnError": {watch: func(c *client, ask func()) {
			c.OnError(func(context.Context, error) { ask() })
		}},
		"Trace.DialDone": inTrace(func(ask func()) wechatws.Trace {
			return wechatws.Trace{DialDone: func(_ context.Context, i wechatws.DialInfo) {
				if i.Err != nil {
					ask()
				}
			}}
		}),
	}
)

// The functions that run during an attempt, and those for its success.
var (
	duringAttempt = map[string]askPlace{
		"OnStateChange": onState(wechatws.StateConnecting),
		"Trace.DialStart": inTrace(func(ask func()) wechatws.Trace {
			return wechatws.Trace{DialStart: func(ctx context.Context, _ wechatws.DialInfo) context.Context { ask(); return ctx }}
		}),
		"Endpoint": {options: func(w *world, ask func()) []wechatws.Option {
			return []wechatws.Option{wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
				ask()
				return wechatws.Endpoint{URL: w.srv.URL()}, nil
			})}
		}},
		"NetDial": {options: func(w *world, ask func()) []wechatws.Option {
			return []wechatws.Option{wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				ask()
				return w.net.DialContext(ctx, network, addr)
			})}
		}},
		"Login": {options: func(_ *world, ask func()) []wechatws.Option {
			return []wechatws.Option{wechatws.WithLogin(func(context.Context) (any, error) { ask(); return "login", nil })}
		}},
		"AfterConnect": {watch: func(c *client, ask func()) {
			c.AfterConnect(time.Minute, func(context.Context, *wechatws.Setup) error { ask(); return nil })
		}},
	}
	afterSuccess = map[string]askPlace{
		"OnOpen": {watch: func(c *client, ask func()) {
			c.OnOpen(func(context.Context, wechatws.OpenEvent) { ask() })
		}},
		"Trace.DialDone": inTrace(func(ask func()) wechatws.Trace {
			return wechatws.Trace{DialDone: func(context.Context, wechatws.DialInfo) { ask() }}
		}),
		"Trace.Open": inTrace(func(ask func()) wechatws.Trace {
			return wechatws.Trace{Open: func(context.Context, wechatws.OpenEvent) { ask() }}
		}),
	}
)

// How long a function takes, before the call and after it.
var takes = []time.Duration{0, time.Millisecond, 10 * time.Second}

// visit makes a client with a function that calls something, once, at a place.
func (w *world) visit(p askPlace, takes time.Duration, monitor *fakeNetwork, call func(c *client)) (c *client, called *atomic.Bool) {
	called = new(atomic.Bool)
	ask := func() {
		if called.CompareAndSwap(false, true) {
			time.Sleep(takes)
			call(c)
			time.Sleep(takes)
		}
	}
	options := append(slowPolicy(func() {}), wechatws.WithNetworkMonitor(monitor), wechatws.WithDialTimeout(time.Minute))
	endpoint := wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
		return wechatws.Endpoint{URL: w.srv.URL()}, nil
	})
	options = append(options, endpoint)
	if p.options != nil {
		options = append(options, p.options(w, ask)...)
	}
	c = w.clientOf("", options...)
	if p.watch != nil {
		p.watch(c, ask)
	}
	return c, called
}

// What calls for an attempt replaces the next wait, whichever of the user's functions runs
// meanwhile, and however long it takes. Other calls leave the wait as it is.
func TestReconnectIsKeptUntilAnAttemptBegins(t *testing.T) {
	calls := map[string]struct {
		call     func(c *client, n *fakeNetwork)
		atOnce   bool // the next attempt
		attempts int  // in all, after the wait
	}{
		"Reconnect":       {func(c *client, _ *fakeNetwork) { assert.NoError(c.t, c.Reconnect()) }, true, 2},
		"another network": {func(_ *client, n *fakeNetwork) { n.set(true) }, true, 2},
		"gone and back":   {func(_ *client, n *fakeNetwork) { n.set(false); n.set(true) }, true, 2},
		"Disconnect":      {func(c *client, _ *fakeNetwork) { _ = c.Disconnect(1, errors.New("enough")) }, false, 2},
		"Connect": {func(c *client, _ *fakeNetwork) {
			assert.ErrorIs(c.t, c.Connect(context.Background()), wechatws.ErrAlreadyConnected)
		}, false, 2},
		"Close": {func(c *client, _ *fakeNetwork) { _ = c.Close(wechatws.StatusNormalClosure, "") }, false, 1},
	}
	run := func(t *testing.T, places map[string]askPlace, prepare, happen func(w *world)) {
		for where, p := range places {
			for name, tt := range calls {
				for _, d := range takes {
					t.Run(where+"/"+name+"/"+d.String(), func(t *testing.T) {
						virtual(t, func(t *testing.T, w *world) {
							prepare(w)
							monitor := newFakeNetwork(true)
							c, called := w.visit(p, d, monitor, func(c *client) { tt.call(c, monitor) })
							go func() { _ = c.Run(t.Context()) }()
							w.sleep(6 * time.Second) // a stable connection
							happen(w)
							w.sleep(2*d + time.Second)
							defer c.CloseNow()
							require.True(t, called.Load())
							if !tt.atOnce {
								require.NotEqual(t, wechatws.StateOpen, c.State())
								w.sleep(500 * time.Second)
								assert.Equal(t, tt.attempts, c.Stats().Attempts)
								return
							}
							require.Equal(t, wechatws.StateOpen, c.State())
							assert.Equal(t, tt.attempts, c.Stats().Attempts)

							conns := w.srv.Conns()
							conns[len(conns)-1].Cut(wstest.FIN)
							w.sleep(449 * time.Second)
							assert.Equal(t, wechatws.StateWaiting, c.State(), "it is asked for once, and granted once")
						})
					})
				}
			}
		}
	}
	nothing := func(*world) {}
	lose := func(w *world) { w.conn().Cut(wstest.FIN) }
	fail := func(w *world) { w.srv.Answer(wstest.Status(500, nil, "")) }
	t.Run("after a loss", func(t *testing.T) {
		run(t, eitherGap, nothing, lose)
		run(t, gapAfterLoss, nothing, lose)
	})
	t.Run("after a failure", func(t *testing.T) {
		run(t, eitherGap, fail, nothing)
		run(t, gapAfterFailure, fail, nothing)
	})
}

// Reconnect ends the attempt under way, or the connection that it has just opened. A change of the
// network ends neither. None of them has an effect on a later wait.
func TestReconnectDuringAnAttempt(t *testing.T) {
	calls := map[string]struct {
		call     func(c *client, n *fakeNetwork)
		attempts int
	}{
		"Reconnect":       {func(c *client, _ *fakeNetwork) { assert.NoError(c.t, c.Reconnect()) }, 2},
		"another network": {func(_ *client, n *fakeNetwork) { n.set(true) }, 1},
	}
	run := func(t *testing.T, places map[string]askPlace) {
		for where, p := range places {
			for name, tt := range calls {
				for _, d := range takes {
					t.Run(where+"/"+name+"/"+d.String(), func(t *testing.T) {
						virtual(t, func(t *testing.T, w *world) {
							monitor := newFakeNetwork(true)
							c, called := w.visit(p, d, monitor, func(c *client) { tt.call(c, monitor) })
							go func() { _ = c.Run(t.Context()) }()
							defer c.CloseNow()
							w.sleep(2 * d)
							require.True(t, called.Load())
							require.Equal(t, wechatws.StateOpen, c.State())
							assert.Equal(t, tt.attempts, c.Stats().Attempts)
							assert.Equal(t, 1, w.net.MaxClients())

							w.sleep(6 * time.Second)
							conns := w.srv.Conns()
							conns[len(conns)-1].Cut(wstest.FIN)
							w.sleep(449 * time.Second)
							assert.Equal(t, wechatws.StateWaiting, c.State())
						})
					})
				}
			}
		}
	}
	run(t, duringAttempt)
	t.Run("success", func(t *testing.T) { run(t, afterSuccess) })
}

// A connection has ended, but one of its goroutines is still in a user function: until that
// returns, the client's state remains open.
func TestReconnectWhileADeadConnectionIsClosed(t *testing.T) {
	for name, try := range map[string]func(*client, *fakeNetwork){
		"Reconnect":      func(c *client, _ *fakeNetwork) { assert.NoError(t, c.Reconnect()) },
		"network change": func(_ *client, n *fakeNetwork) { n.set(true) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				monitor := newFakeNetwork(true)
				slow := sync.OnceFunc(func() { time.Sleep(2 * time.Second) })
				c := w.client(append(slowPolicy(func() {}),
					wechatws.WithNetworkMonitor(monitor),
					wechatws.WithTrace(wechatws.Trace{MessageSent: func(context.Context, wechatws.MessageInfo) { slow() }}))...).connect()
				conn := w.conn()
				go c.send("hello")
				w.sleep(time.Second)
				conn.Cut(wstest.FIN)
				w.sleep(500 * time.Millisecond)
				require.Equal(t, wechatws.StateOpen, c.State())
				try(c, monitor)
				w.sleep(time.Second)
				assert.Equal(t, wechatws.StateOpen, c.State())
				assert.Equal(t, 2, c.Stats().Opens)
				c.close()
			})
		})
	}
}

// A function of an attempt that ignores its context for a minute delays no call that ends the
// client. Nothing of the attempt is left when that call returns, and what the function makes later
// is closed; until it returns, the client is not done and the next Connect waits.
func TestAnAttemptThatEndsLateMakesNoConnection(t *testing.T) {
	for where, p := range duringAttempt {
		if where == "OnStateChange" { // a callback is no part of the attempt
			continue
		}
		for name, end := range map[string]func(c *client) error{
			"Close":    func(c *client) error { return c.Close(wechatws.StatusNormalClosure, "") },
			"CloseNow": func(c *client) error { return c.CloseNow() },
			"Shutdown": func(c *client) error { return c.Shutdown(context.Background()) },
		} {
			t.Run(where+"/"+name, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c, called := w.visit(p, 30*time.Second, newFakeNetwork(true), func(*client) {})
					first := make(chan error, 1)
					go func() { first <- c.Connect(t.Context()) }()
					w.sleep(time.Second)
					require.True(t, called.Load())
					require.NoError(t, end(c))
					require.Equal(t, time.Second, w.since())
					require.Equal(t, wechatws.StateClosed, c.State())
					require.ErrorIs(t, <-first, wechatws.ErrClosed)
					w.sleep(0)
					require.Zero(t, w.net.Clients())

					require.NoError(t, c.Connect(t.Context()))
					require.Equal(t, time.Minute, w.since(), "when the function has returned")
					w.sleep(time.Minute)
					require.Equal(t, wechatws.StateOpen, c.State())
					require.Equal(t, 1, w.net.Clients())
					require.Equal(t, 1, w.net.MaxClients())
					c.close()
				})
			})
		}
	}
}
