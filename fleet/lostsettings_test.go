package fleet_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// A fleet with rooms whose settings were deleted gets no others: rooms are stored by shard, and workers go by the
// same lease. It works again when they are put back.
func TestOpenRefusesAFleetThatHasLostItsSettings(t *testing.T) {
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""), fleet.WithShards(7))
	open := func(options ...fleet.Option) (*fleet.Fleet, error) {
		return fleet.Open(w.ctx(), append(options, fleet.WithNATS(w.fleet.URL()))...)
	}
	rooms, err := w.jetStream().KeyValue(w.ctx(), "wechatws-rooms")
	require.NoError(t, err)
	settings, err := rooms.Get(w.ctx(), "fleet")
	require.NoError(t, err)
	require.NoError(t, w.fleet.Control().Add(w.ctx(), fleet.Spec{ID: "r"}))
	refused := func() {
		t.Helper()
		for _, options := range [][]fleet.Option{nil, {fleet.WithShards(7)}, {fleet.WithExisting()}} {
			f, err := open(options...)
			if !assert.Error(t, err) {
				f.Close()
				continue
			}
			assert.NotErrorIs(t, err, fleet.ErrNoFleet, "there is one")
			for _, part := range []string{`key "fleet"`, `bucket "wechatws-rooms"`, "docs/fleet-operating.md"} {
				assert.ErrorContains(t, err, part)
			}
		}
	}
	require.NoError(t, rooms.Delete(w.ctx(), "fleet"))
	refused()
	_, err = w.fleet.Control().Remove(w.ctx(), "r")
	require.NoError(t, err)
	refused() // its worker may still run

	_, err = rooms.Put(w.ctx(), "fleet", settings.Value())
	require.NoError(t, err)
	f, err := open(fleet.WithShards(7))
	require.NoError(t, err)
	f.Close()
}

// A fleet that has lost a stream or a bucket is there, and the error says what it has not.
func TestExistingNamesWhatIsMissing(t *testing.T) {
	for _, stream := range []string{"wechatws-in", "wechatws-out", "KV_wechatws-leases-1"} {
		w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
		require.NoError(t, w.jetStream().DeleteStream(w.ctx(), stream))
		_, err := fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()), fleet.WithExisting())
		require.ErrorIs(t, err, fleet.ErrNoFleet)
		assert.ErrorContains(t, err, "no stream "+stream)
		f, err := fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()))
		require.NoError(t, err, "it makes the stream again")
		f.Close()
	}
}
