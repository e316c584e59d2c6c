package fleet_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// A worker that has lost NATS leaves its rooms before its lease runs out, sends nothing more, and takes
// the rooms again when NATS is back.
func TestAWorkerWithoutNATSLeavesItsRooms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const lease = 2 * time.Second
	dir := t.TempDir()
	address := w.address()
	server, err := fleet.Open(w.ctx(), fleet.WithListen(address, ""), fleet.WithDir(dir), fleet.WithLease(lease))
	require.NoError(t, err)
	stop := server.Close
	defer func() { stop() }()
	w.fleet, err = fleet.Open(w.ctx(), fleet.WithNATS(server.URL()))
	require.NoError(t, err)
	defer w.fleet.Close()
	w.add(3)
	a := w.worker("a")
	require.Eventually(t, func() bool { return a.Stats().Open == 3 }, patience, tick)
	session := a.Stats().Session
	var clients []*wechatws.Client
	a.Clients(func(_ string, c *wechatws.Client) bool { clients = append(clients, c); return true })
	require.Len(t, clients, 3)

	server.Close()
	lost := time.Now()
	for _, c := range w.srv.Conns() {
		<-c.Done()
	}
	assert.Less(t, time.Since(lost), lease)
	require.Eventually(t, func() bool { return !a.Ready() && a.Stats().Rooms == 0 }, patience, tick)
	assert.True(t, a.Alive())
	for _, c := range clients {
		err := c.Send(w.ctx(), wechatws.Text("too late"))
		assert.True(t, errors.Is(err, wechatws.ErrClosed), "%v", err)
	}

	again, err := fleet.Open(w.ctx(), fleet.WithListen(address, ""), fleet.WithDir(dir))
	require.NoError(t, err)
	stop = again.Close
	require.Eventually(t, func() bool { return a.Stats().Open == 3 }, patience, tick)
	assert.NotEqual(t, session, a.Stats().Session, "a session once lost stays lost")
	a.stop()
}

// The lease, the partitions and how long messages are kept are what the first one has said.
func TestWhatIsSettledStays(t *testing.T) {
	server, err := fleet.Open(t.Context(), fleet.WithListen("127.0.0.1:0", ""), fleet.WithLease(3*time.Second), fleet.WithPartitions(4), fleet.WithKeepIn(time.Hour))
	require.NoError(t, err)
	defer server.Close()
	for option, asked := range map[string]fleet.Option{
		"fleet.WithLease":      fleet.WithLease(8 * time.Second),
		"fleet.WithPartitions": fleet.WithPartitions(16),
		"fleet.WithKeepIn":     fleet.WithKeepIn(24 * time.Hour),
	} {
		_, err := fleet.Open(t.Context(), fleet.WithNATS(server.URL()), asked)
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, option)
		assert.Equal(t, option, wrong.Option)
		assert.Contains(t, wrong.Value, map[string]string{"fleet.WithLease": "8s", "fleet.WithPartitions": "16", "fleet.WithKeepIn": "24h"}[option])
		assert.Contains(t, wrong.Want, map[string]string{"fleet.WithLease": "3s", "fleet.WithPartitions": "4", "fleet.WithKeepIn": "1h"}[option])
	}
	for _, options := range [][]fleet.Option{
		nil,
		{fleet.WithLease(3 * time.Second), fleet.WithPartitions(4), fleet.WithKeepIn(time.Hour)},
		{fleet.WithName("other"), fleet.WithLease(9 * time.Second)},
	} {
		f, err := fleet.Open(t.Context(), append(options, fleet.WithNATS(server.URL()))...)
		require.NoError(t, err)
		f.Close()
		f.Close()
	}
}
