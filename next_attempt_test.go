package wechatws_test

import (
	"context"
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

// asks is a BackOff whose NextBackOff calls a function.
type asks struct {
	backoff.ConstantBackOff
	ask func()
}

func (b *asks) NextBackOff() time.Duration {
	b.ask()
	return b.ConstantBackOff.NextBackOff()
}

// Reconnect replaces the next wait, whichever of the user's functions calls it
// between the end of a connection, or of an attempt, and that wait.
func TestReconnectIsKeptUntilAnAttemptBegins(t *testing.T) {
	type place struct {
		options func(ask func()) []wechatws.Option
		watch   func(c *client, ask func())
	}
	inTrace := func(make func(ask func()) wechatws.Trace) place {
		return place{options: func(ask func()) []wechatws.Option {
			return []wechatws.Option{wechatws.WithTrace(make(ask))}
		}}
	}
	either := map[string]place{
		"RetryIf": {options: func(ask func()) []wechatws.Option { return slowPolicy(ask) }},
		"BackOff": {options: func(ask func()) []wechatws.Option {
			return []wechatws.Option{wechatws.WithBackOff(func() backoff.BackOff {
				return &asks{backoff.ConstantBackOff{Interval: 450 * time.Second}, ask}
			})}
		}},
		"Trace.Retry": inTrace(func(ask func()) wechatws.Trace {
			return wechatws.Trace{Retry: func(context.Context, wechatws.StateChange) { ask() }}
		}),
		"OnStateChange": {watch: func(c *client, ask func()) {
			c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
				if e.To == wechatws.StateWaiting {
					ask()
				}
			})
		}},
	}
	afterLoss := map[string]place{
		"OnClose": {watch: func(c *client, ask func()) {
			c.OnClose(func(context.Context, wechatws.CloseEvent) { ask() })
		}},
		"Trace.Close": inTrace(func(ask func()) wechatws.Trace {
			return wechatws.Trace{Close: func(context.Context, wechatws.CloseEvent) { ask() }}
		}),
	}
	afterFailure := map[string]place{
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

	run := func(name string, p place, prepare, happen func(w *world)) {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				prepare(w)
				var c *client
				var asked atomic.Bool
				ask := func() {
					if asked.CompareAndSwap(false, true) {
						assert.NoError(t, c.Reconnect())
					}
				}
				options := slowPolicy(func() {})
				if p.options != nil {
					options = append(options, p.options(ask)...)
				}
				c = w.client(options...)
				if p.watch != nil {
					p.watch(c, ask)
				}
				go func() { _ = c.Run(t.Context()) }()
				w.sleep(time.Second)
				happen(w)
				w.sleep(time.Second)
				defer c.CloseNow()
				require.True(t, asked.Load())
				require.Equal(t, wechatws.StateOpen, c.State())
				assert.Equal(t, 2, c.Stats().Attempts, "one, and the one that was asked for")

				conns := w.srv.Conns()
				conns[len(conns)-1].Cut(wstest.FIN)
				w.sleep(449 * time.Second)
				assert.Equal(t, wechatws.StateWaiting, c.State(), "it is asked for once, and granted once")
			})
		})
	}
	loss := func(places map[string]place) {
		for name, p := range places {
			run("after a loss/"+name, p, func(*world) {}, func(w *world) { w.conn().Cut(wstest.FIN) })
		}
	}
	failure := func(places map[string]place) {
		for name, p := range places {
			run("after a failure/"+name, p, func(w *world) { w.srv.Answer(wstest.Status(500, nil, "")) }, func(*world) {})
		}
	}
	loss(either)
	loss(afterLoss)
	failure(either)
	failure(afterFailure)
}

// A change of the network while the retry policy runs ends the wait that follows at once,
// and so does a network that is lost and found meanwhile.
func TestNetworkBackWhileRetryIfRuns(t *testing.T) {
	for name, changes := range map[string][]bool{"another network": {true}, "gone and back": {false, true}} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				monitor := newFakeNetwork(true)
				w.srv.Answer(wstest.Status(500, nil, ""))
				c := w.client(append(slowPolicy(func() {
					for _, connected := range changes {
						monitor.set(connected)
					}
				}), wechatws.WithNetworkMonitor(monitor))...)
				go func() { _ = c.Run(t.Context()) }()
				w.sleep(time.Second)
				assert.Equal(t, wechatws.StateOpen, c.State())
				c.close()
			})
		})
	}
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
