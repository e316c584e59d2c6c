package wechatws_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// What a monitor reports every half second, as often as SystemNetwork does at most, and a
// quarter of a second after that.
var flaps = map[string][2]func(n *fakeNetwork){
	"another network":   {func(n *fakeNetwork) { n.set(true) }, nil},
	"gone and back":     {func(n *fakeNetwork) { n.set(false); n.set(true) }, nil},
	"gone for a moment": {func(n *fakeNetwork) { n.set(false) }, func(n *fakeNetwork) { n.set(true) }},
}

// flap lets the network change until the test ends.
func (w *world) flap(monitor *fakeNetwork, changes [2]func(*fakeNetwork)) {
	go func() {
		for i := 0; ; i = 1 - i {
			select {
			case <-w.Context().Done():
				return
			case <-time.After(250 * time.Millisecond):
				if changes[i] != nil {
					changes[i](monitor)
				}
			}
		}
	}()
}

// On a machine whose network changes all the time, such as a container host, an attempt
// that takes longer than the pause between two changes succeeds.
func TestNetworkChangesDoNotRestartAnAttempt(t *testing.T) {
	slowly := func(ctx context.Context, d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	const phase = 100 * time.Millisecond
	attempts := map[string]func(w *world, monitor wechatws.NetworkMonitor) *client{
		"a slow handshake": func(w *world, monitor wechatws.NetworkMonitor) *client {
			w.net.SetLatency(300 * time.Millisecond) // 600 ms for the handshake
			return w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor))...)
		},
		"a setup that takes longer than the dial timeout": func(w *world, monitor wechatws.NetworkMonitor) *client {
			c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor))...)
			c.AfterConnect(time.Minute, func(ctx context.Context, _ *wechatws.Setup) error {
				return slowly(ctx, 30*time.Second)
			})
			return c
		},
		"each phase": func(w *world, monitor wechatws.NetworkMonitor) *client {
			srv := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
			w.Cleanup(srv.Close)
			w.net.SetLatency(phase / 2) // of TLS and of the upgrade
			c := w.clientOf("", append(quiet(), wechatws.WithNetworkMonitor(monitor), wechatws.WithTLSConfig(srv.ClientTLS()),
				wechatws.WithEndpoint(func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) {
					return wechatws.Endpoint{URL: srv.URL()}, slowly(ctx, phase)
				}),
				wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
					if err := slowly(ctx, 2*phase); err != nil { // the name, and the connection
						return nil, err
					}
					return w.net.DialContext(ctx, network, addr)
				}),
				wechatws.WithLogin(func(ctx context.Context) (any, error) { return "login", slowly(ctx, phase) }))...)
			c.AfterConnect(time.Minute, func(ctx context.Context, _ *wechatws.Setup) error { return slowly(ctx, phase) })
			return c
		},
	}
	for name, start := range attempts {
		for flap, changes := range flaps {
			t.Run(name+"/"+flap, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					monitor := newFakeNetwork(true)
					c := start(w, monitor)
					w.flap(monitor, changes)
					go func() { _ = c.Run(t.Context()) }()
					w.sleep(10 * time.Minute)
					assert.Equal(t, wechatws.StateOpen, c.State())
					assert.LessOrEqual(t, c.Stats().Attempts, 2, "a network that goes ends an attempt once")
					if flap == "another network" {
						assert.Equal(t, 1, c.Stats().Attempts)
					}
					require.NoError(t, c.CloseNow())
				})
			})
		}
	}
}

// A network that goes while an attempt is under way ends that attempt once, and again after an
// attempt that has failed by itself.
func TestAnAttemptIsEndedOnceForANetworkThatGoes(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(true)
		w.srv.AnswerAlways(wstest.NoAnswer())
		c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor))...)
		go func() { _ = c.Run(t.Context()) }()
		for range 3 {
			w.sleep(time.Second)
			attempts := c.Stats().Attempts
			for range 5 {
				monitor.set(false)
				monitor.set(true)
				w.sleep(time.Second)
			}
			assert.Equal(t, attempts+1, c.Stats().Attempts)
			w.sleep(5 * time.Second) // until the dial timeout
			assert.Equal(t, attempts+2, c.Stats().Attempts)
		}
		require.NoError(t, c.CloseNow())
	})
}

// The waits end for changes, but not for each of them if there is no end of changes: without
// a known route to the server every change counts.
func TestChangesWithoutEndAreNoLoop(t *testing.T) {
	for _, every := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond} {
		t.Run(every.String(), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				monitor := newFakeNetwork(true)
				w.srv.Stop(wstest.FIN)
				c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor),
					wechatws.WithTiers(wechatws.Tier{Delay: time.Hour}))...)
				go func() { _ = c.Run(t.Context()) }()
				w.sleep(time.Second)
				for began := w.since(); w.since() < began+time.Minute && len(w.net.Dials()) < 100; {
					for range 10 {
						monitor.set(true)
						w.sleep(every / 10)
					}
					w.sleep(10 * time.Millisecond)
				}
				assert.InDelta(t, 60, len(w.net.Dials()), 3, "one each second")
				require.NoError(t, c.Reconnect())
				w.sleep(0)
				dials := len(w.net.Dials())
				require.NoError(t, c.Reconnect())
				w.sleep(0)
				assert.Equal(t, dials+1, len(w.net.Dials()), "Reconnect does not wait")
				require.NoError(t, c.CloseNow())
			})
		})
	}
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
				w.flap(monitor, flaps["another network"])
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
