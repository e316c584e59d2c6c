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

func TestNoNetworkNoDial(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(false)
		c := w.client(wechatws.WithNetworkMonitor(monitor))
		var seen []wechatws.NetworkStatus
		c.OnNetworkChange(func(_ context.Context, s wechatws.NetworkStatus) { seen = append(seen, s) })
		go c.Run(t.Context())
		w.sleep(24 * time.Hour)
		assert.Equal(t, wechatws.StateOffline, c.State())
		assert.Empty(t, w.net.Dials())

		monitor.set(true)
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "at once")
		assert.Equal(t, []wechatws.NetworkStatus{networkStatus(true)}, seen)
		c.close()
		assert.Empty(t, monitor.watchers, "the monitor is let go")
	})
}

func TestNetworkBackCutsAWaitShort(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(true)
		w.srv.Stop(wstest.FIN)
		c := w.client(wechatws.WithNetworkMonitor(monitor))
		go c.Run(t.Context())
		w.sleep(time.Hour)
		require.Equal(t, 450*time.Second, c.lastChange().RetryIn)
		monitor.set(false)
		w.sleep(0)
		assert.Equal(t, wechatws.StateOffline, c.State())
		w.srv.Start()
		dials := len(w.net.Dials())
		w.sleep(time.Hour)
		assert.Len(t, w.net.Dials(), dials, "no dialing without a network")
		monitor.set(true)
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State())

		w.srv.Stop(wstest.FIN)
		w.sleep(time.Hour)
		w.srv.Start()
		monitor.set(true) // a change that leaves it connected: another Wi-Fi
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

// A dial whose packets were lost is restarted when the network comes back: the kernel would
// retransmit only seconds later.
func TestNetworkBackRestartsADial(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(true)
		w.srv.Answer(wstest.NoAnswer())
		c := w.client(wechatws.WithNetworkMonitor(monitor))
		go c.Run(t.Context())
		w.sleep(time.Second)
		require.Equal(t, wechatws.StateConnecting, c.State())
		monitor.set(false)
		w.sleep(0)
		require.Equal(t, wechatws.StateOffline, c.State())
		monitor.set(true)
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.Equal(t, time.Second, w.since())
		assert.Empty(t, c.errors(), "that was no failure")
		assert.Equal(t, 1, c.Stats().Attempt)
		c.close()
	})
}

func TestNetworkChangeWhileOpen(t *testing.T) {
	t.Run("a good link answers the probe and stays", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			monitor := newFakeNetwork(true)
			c := w.client(wechatws.WithNetworkMonitor(monitor)).connect()
			conn := w.conn()
			for range 10 {
				pings := conn.Pings()
				w.sleep(time.Second / 2)
				monitor.set(true)
				w.sleep(0)
				assert.Greater(t, conn.Pings(), pings, "a ping at once")
			}
			monitor.set(false)
			w.sleep(time.Hour)
			assert.Equal(t, wechatws.StateOpen, c.State(), "a link that works is not dropped for what the monitor says")
			assert.Equal(t, 1, c.Stats().Opens)
			c.close()
		})
	})
	t.Run("a dead link is found sooner", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			monitor := newFakeNetwork(true)
			c := w.client(wechatws.WithNetworkMonitor(monitor)).connect()
			w.sleep(time.Second)
			w.conn().Blackhole(true)
			monitor.set(true)
			before := w.since()
			w.conn()
			assert.Equal(t, 5*time.Second+3*time.Second, w.since()-before)
			assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
			c.close()
		})
	})
}

func TestReconnectForcesAnAttemptWithoutANetwork(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithNetworkMonitor(newFakeNetwork(false)))
		go c.Run(t.Context())
		w.sleep(time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "the monitor was wrong")
		c.close()
	})
}

// flap makes the monitor report a change every half second, as often as SystemNetwork
// does at most, until the test ends.
func (w *world) flap(monitor *fakeNetwork) {
	go func() {
		for {
			select {
			case <-w.Context().Done():
				return
			case <-time.After(500 * time.Millisecond):
				monitor.set(true)
			}
		}
	}()
}

// On a machine whose other interfaces change all the time, such as a container host,
// an attempt that takes longer than the pause between two changes succeeds.
func TestNetworkChangesDoNotRestartAnAttempt(t *testing.T) {
	t.Run("a slow handshake", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			monitor := newFakeNetwork(true)
			w.net.SetLatency(300 * time.Millisecond) // 600 ms for the handshake
			c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor))...)
			w.flap(monitor)
			go func() { _ = c.Run(t.Context()) }()
			w.sleep(10 * time.Minute)
			assert.Equal(t, wechatws.StateOpen, c.State())
			assert.Equal(t, 1, c.Stats().Attempts)
			require.NoError(t, c.CloseNow())
		})
	})
	t.Run("a setup that takes longer than the dial timeout", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			monitor := newFakeNetwork(true)
			c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor))...)
			c.AfterConnect(time.Minute, func(ctx context.Context, _ *wechatws.Setup) error {
				select {
				case <-time.After(30 * time.Second):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
			w.flap(monitor)
			go func() { _ = c.Run(t.Context()) }()
			w.sleep(10 * time.Minute)
			assert.Equal(t, wechatws.StateOpen, c.State())
			assert.Equal(t, 1, c.Stats().Attempts)
			require.NoError(t, c.CloseNow())
		})
	})
}

// An attempt that was under way when the network changed, and fails, is followed by
// another one at once: that one may succeed because of the change.
func TestAFailureFollowsANetworkChangeWithoutAWait(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(true)
		w.srv.Answer(wstest.NoAnswer())
		c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor),
			wechatws.WithTiers(wechatws.Tier{Delay: 450 * time.Second}))...)
		go func() { _ = c.Run(t.Context()) }()
		w.sleep(time.Second)
		monitor.set(true)
		w.sleep(10 * time.Second)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.Equal(t, 2, c.Stats().Attempts)
		c.close()
	})
}

// Each change probes the peer. A dead peer is found also while changes never end.
func TestADeadConnectionIsFoundWhileTheNetworkChanges(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"default": 10 * time.Second, "longer": time.Minute} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				monitor := newFakeNetwork(true)
				c := w.client(wechatws.WithNetworkMonitor(monitor), wechatws.WithLiveness(wechatws.Liveness{Timeout: timeout})).connect()
				w.flap(monitor)
				w.sleep(2 * timeout)
				require.Equal(t, 1, c.Stats().Opens, "a peer that answers is alive")
				w.conn().Blackhole(true)
				dead := w.since()
				for c.Stats().Opens < 2 && w.since()-dead < 3*timeout {
					w.sleep(time.Second)
				}
				assert.LessOrEqual(t, w.since()-dead, timeout*3/2+5*time.Second)
				assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
				require.NoError(t, c.CloseNow())
			})
		})
	}
}

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
		"FinalWhen": {options: func(ask func()) []wechatws.Option { return slowPolicy(ask) }},
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

// A change of the network while the connection is open has no effect after the probe: a
// loss a year later waits for the delay of the schedule.
func TestAChangeWhileOpenCutsNoLaterWaitShort(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(true)
		c := w.client(append(slowPolicy(func() {}), wechatws.WithNetworkMonitor(monitor))...).connect()
		monitor.set(true)
		w.sleep(time.Hour)
		w.conn().Cut(wstest.FIN)
		w.sleep(449 * time.Second)
		assert.Equal(t, wechatws.StateWaiting, c.State())
		w.sleep(2 * time.Second)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

// A change during an attempt that succeeds has no effect later.
func TestAChangeDuringAnAttemptThatSucceedsCutsNoLaterWaitShort(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(true)
		w.srv.AnswerAlways(wstest.Delay(time.Second, wstest.Accept()))
		c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor))...)
		time.AfterFunc(500*time.Millisecond, func() { monitor.set(true) })
		c.connect()
		conn := w.conn()
		w.sleep(time.Hour)
		at := time.Now()
		conn.Cut(wstest.FIN)
		w.conn()
		require.Equal(t, 4*time.Second, time.Since(at), "the wait, and the handshake")
		require.NoError(t, c.CloseNow())
	})
}
