package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// fullest returns how many dials there are in the tenth of a second that has most.
func fullest(dials []time.Duration) (most int) {
	tenths := map[time.Duration]int{}
	for _, at := range dials {
		tenths[at/(100*time.Millisecond)]++
	}
	for _, n := range tenths {
		most = max(most, n)
	}
	return most
}

// The clients behind one network see its changes at the same moment. With jitter, they dial in the
// time that it spreads the first wait of the schedule over, and at once without.
func TestJitterSpreadsWhatFollowsAChangeOfTheNetwork(t *testing.T) {
	refuse := func(context.Context) error { return errors.New("the network is unreachable") }
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, tt := range map[string]struct {
		connected bool
		dial      func(context.Context) error
		after     time.Duration // the time of the change
		change    func(*fakeNetwork)
	}{
		"it comes":                     {false, refuse, 10 * time.Second, func(n *fakeNetwork) { n.set(true) }},
		"it comes back during a wait":  {true, refuse, 10 * time.Second, func(n *fakeNetwork) { n.set(false); n.set(true) }},
		"another one during a wait":    {true, refuse, 10 * time.Second, func(n *fakeNetwork) { n.set(true) }},
		"several reports":              {true, refuse, 10 * time.Second, func(n *fakeNetwork) { n.set(true); n.set(true); n.set(true) }},
		"it comes back in the attempt": {true, hang, 5 * time.Second, func(n *fakeNetwork) { n.set(false); n.set(true) }},
	} {
		for jitter, clients := range map[float64]int{0: 10, 0.2: 1000} {
			t.Run(fmt.Sprint(name, "/", jitter), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					monitor := newFakeNetwork(tt.connected)
					var changed time.Time
					var dials []time.Duration // the first one of each client; monitor.mu guards it
					var fleet []*wechatws.Client
					for range clients {
						dialed := false
						c, err := wechatws.New("ws://server.test", append(quiet(), wechatws.WithProxy(nil), wechatws.WithJitter(jitter),
							wechatws.WithTiers(wechatws.Tier{Delay: 3 * time.Second, Attempts: 1}, wechatws.Tier{Delay: time.Hour}),
							wechatws.WithNetworkMonitor(monitor), wechatws.WithNetDial(func(ctx context.Context, _, _ string) (net.Conn, error) {
								monitor.mu.Lock()
								if !changed.IsZero() && !dialed {
									dialed = true
									dials = append(dials, time.Since(changed))
								}
								monitor.mu.Unlock()
								return nil, tt.dial(ctx)
							}))...)
						require.NoError(t, err)
						fleet = append(fleet, c)
						go func() { _ = c.Run(t.Context()) }()
					}
					w.sleep(tt.after)
					monitor.mu.Lock()
					changed = time.Now()
					monitor.mu.Unlock()
					tt.change(monitor)
					w.sleep(1200 * time.Millisecond) // 2 × 0.2 × 3 s
					for _, c := range fleet {
						require.NoError(t, c.CloseNow())
						<-c.Done()
					}
					assert.Len(t, dials, clients)
					most := fullest(dials)
					t.Logf("fullest 100 ms: %d of %d", most, clients)
					if jitter == 0 {
						assert.Equal(t, clients, most)
					} else {
						assert.Less(t, most, clients/8, "83 on average")
					}
				})
			})
		}
	}
}

// Reconnect ends also the wait for a network at once.
func TestReconnectWithoutANetworkIsNotSpread(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithNetworkMonitor(newFakeNetwork(false)), wechatws.WithJitter(1))...)
		go func() { _ = c.Run(t.Context()) }()
		w.sleep(time.Minute)
		require.Equal(t, wechatws.StateOffline, c.State())
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

// With jitter, Reconnect is obeyed at once all the same, also while the attempt that follows a change
// is delayed; and a network that goes again meanwhile is dialed no more.
func TestReconnectIsNotSpread(t *testing.T) {
	for name, connected := range map[string]bool{"offline": false, "waiting": true} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				monitor := newFakeNetwork(connected)
				w.srv.Answer(wstest.Status(500, nil, ""))
				c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor), wechatws.WithJitter(1),
					wechatws.WithBackOff(func() backoff.BackOff { return backoff.NewConstantBackOff(365 * 24 * time.Hour) }))...)
				go func() { _ = c.Run(t.Context()) }()
				w.sleep(time.Minute)
				dials := len(w.net.Dials())
				monitor.set(true)
				monitor.set(false)
				w.sleep(time.Minute)
				assert.Equal(t, wechatws.StateOffline, c.State())
				assert.Len(t, w.net.Dials(), dials)
				monitor.set(true)
				require.NoError(t, c.Reconnect())
				w.sleep(0)
				assert.Len(t, w.net.Dials(), dials+1)
				c.close()
			})
		})
	}
}

// A long schedule does not delay what follows a change of the network by its length; and the loss of the
// network is no attempt to be spread.
func TestJitterIsNoLongerThanAShortWait(t *testing.T) {
	for name, tt := range map[string]struct {
		connected bool
		within    time.Duration
		state     wechatws.State
	}{
		"another network": {true, 6 * time.Second, wechatws.StateOpen}, // 2 × 3 s, see maxSpread
		"no network":      {false, 0, wechatws.StateOffline},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				const clients = 20
				monitor := newFakeNetwork(true)
				for range clients {
					w.srv.Answer(wstest.Status(500, nil, ""))
				}
				var fleet []*client
				for range clients {
					c := w.client(append(quiet(), wechatws.WithNetworkMonitor(monitor), wechatws.WithJitter(1),
						wechatws.WithTiers(wechatws.Tier{Delay: 365 * 24 * time.Hour}))...)
					go func() { _ = c.Run(t.Context()) }()
					fleet = append(fleet, c)
				}
				w.sleep(2 * time.Second) // more than changePause
				monitor.set(tt.connected)
				w.sleep(tt.within)
				for _, c := range fleet {
					assert.Equal(t, tt.state, c.State())
					require.NoError(t, c.CloseNow())
					<-c.Done()
				}
			})
		})
	}
}
