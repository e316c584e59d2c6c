package wechatws_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

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
