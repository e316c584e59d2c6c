package wechatws

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// suspendable is an open client whose clocks the test may tamper with.
func suspendable(t *testing.T, test func(c *Client, peer *wstest.Conn, slept *atomic.Int64)) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(n))
		defer s.Close()
		c, err := New(s.URL(), WithProxy(nil), WithNetDial(n.DialContext))
		require.NoError(t, err)
		var slept atomic.Int64
		c.cfg.wallClock = func() time.Time { return time.Now().Round(0).Add(time.Duration(slept.Load())) }
		require.NoError(t, c.Connect(t.Context()))
		peer, err := s.NextConn(t.Context())
		require.NoError(t, err)
		test(c, peer, &slept)
		require.NoError(t, c.Close(StatusNormalClosure, ""))
	})
}

// A suspended machine's monotonic clock stands still, and only the wall clock
// tells of the pause.
func TestASuspendedMachineProbesItsConnections(t *testing.T) {
	suspendable(t, func(c *Client, peer *wstest.Conn, slept *atomic.Int64) {
		time.Sleep(4 * time.Second)
		slept.Add(int64(time.Hour))
		time.Sleep(time.Minute)
		assert.Equal(t, StateOpen, c.State(), "the connection has survived, and so it stays")
		assert.Equal(t, 1, c.Stats().Opens)

		peer.Blackhole(true)
		slept.Add(int64(time.Hour))
		time.Sleep(3*time.Second + 5*time.Second) // to the next tick, and half the timeout
		synctest.Wait()
		assert.Equal(t, StateWaiting, c.State())
	})
}

// A suspended process finds its timer due long ago and its peer silent for as
// long. It must not take that for the peer's silence.
func TestASuspendedProcessDoesNotBlameThePeer(t *testing.T) {
	suspendable(t, func(c *Client, peer *wstest.Conn, _ *atomic.Int64) {
		time.Sleep(31 * time.Second)
		synctest.Wait()
		h := &c.session.link.heartbeat
		pings := peer.Pings()
		h.mu.Lock()
		h.due = time.Now().Add(-time.Minute)
		h.from = h.due
		h.mu.Unlock()
		h.link.wire.lastRead.Store(0) // nothing since the handshake
		h.tick()
		synctest.Wait()
		assert.Equal(t, StateOpen, c.State())
		assert.Equal(t, pings+1, peer.Pings(), "it is probed")

		h.mu.Lock()
		h.due = time.Now()
		h.from = h.due.Add(-time.Minute)
		h.mu.Unlock()
		h.link.wire.lastRead.Store(0) // nothing since the handshake
		h.tick()
		synctest.Wait()
		assert.Equal(t, StateWaiting, c.State(), "a timer in time means that the silence is real")
	})
}
