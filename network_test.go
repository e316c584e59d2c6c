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
		w.sleep(time.Hour + time.Minute)
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
			assert.Equal(t, 5*time.Second+time.Millisecond, w.since()-before)
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

// A connection on which nothing arrives after a change has ended because of the change: the next
// attempt follows at once, and uses up none of the schedule's delays. The retry policy is asked all
// the same. With an answer to the probe, a later end is the server's doing.
func TestAHandOverCostsNoSchedule(t *testing.T) {
	tiers := wechatws.WithTiers(wechatws.Tier{Delay: time.Hour, Attempts: 1})
	for name, tt := range map[string]struct {
		options  []wechatws.Option
		answered bool
		wait     time.Duration // before the first attempt; 0: none follows
		then     time.Duration // before the second one
	}{
		"handed over":           {[]wechatws.Option{tiers}, false, time.Millisecond, time.Hour},
		"the probe is answered": {[]wechatws.Option{tiers}, true, time.Hour, 0},
		"without reconnect":     {[]wechatws.Option{wechatws.WithoutReconnect()}, false, 0, 0},
		"the policy":            {[]wechatws.Option{wechatws.WithRetryIf(func(wechatws.Failure) bool { return false })}, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				monitor := newFakeNetwork(true)
				c := w.client(append(tt.options, wechatws.WithNetworkMonitor(monitor))...).connect()
				w.sleep(time.Minute + time.Second)
				conn := w.conn()
				conn.Blackhole(!tt.answered)
				monitor.set(true)
				w.sleep(4 * time.Second) // a ping, or none
				conn.Blackhole(true)
				w.srv.AnswerAlways(wstest.Status(500, nil, ""))
				w.sleep(3 * time.Hour)
				var waits []time.Duration
				for _, move := range c.moves() {
					if move.To == wechatws.StateWaiting {
						waits = append(waits, move.RetryIn)
					}
				}
				var want []time.Duration
				for _, wait := range []time.Duration{tt.wait, tt.then} {
					if wait > 0 {
						want = append(want, wait)
					}
				}
				assert.Equal(t, want, waits)
				assert.Equal(t, wechatws.StateFailed, c.State())
				assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
				<-c.Done()
			})
		})
	}
}

// The connections of all clients on a network end at the same time after a hand-over.
func TestJitterSpreadsAHandOver(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(true)
		var fleet []*client
		for range 20 {
			fleet = append(fleet, w.client(wechatws.WithNetworkMonitor(monitor), wechatws.WithJitter(0.2)).connect())
			w.conn().Blackhole(true)
		}
		w.sleep(time.Second)
		monitor.set(true)
		w.sleep(5*time.Second + 1200*time.Millisecond)
		waits := map[time.Duration]bool{}
		for _, c := range fleet {
			assert.Equal(t, wechatws.StateOpen, c.State())
			waits[c.moves()[2].RetryIn] = true
			c.close()
		}
		assert.Len(t, waits, len(fleet))
	})
}
