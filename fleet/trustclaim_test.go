package fleet_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/audit"
)

// overwrite replaces the claim of the only shard by a value that is no claim of it.
func (w *shardWorld) overwrite(value string) {
	w.Helper()
	_, err := w.jetStream().Publish(w.ctx(), "$KV.wechatws-rooms.claim.0", []byte(value))
	require.NoError(w, err)
}

// noClaims are values of a claim's key that name no shard, or another one.
var noClaims = []string{"", "{", "{}", `{"session":"x"}`, `{"shard":1,"session":"x"}`, `{"stream":"KV_wechatws-rooms","seq":7}`}

// The holder of a shard replaces a value that is no claim, and no room changes hands.
func TestTheHolderReplacesWhatIsNoClaim(t *testing.T) {
	names := ranked(2)
	w := newShardWorld(t, 3)
	w.joins(names[1])
	w.untilHeld(names[1], 3)
	w.joins(names[0])
	claims, err := w.jetStream().KeyValue(w.ctx(), "wechatws-rooms")
	require.NoError(t, err)
	before := len(w.srv.Events())
	for _, value := range noClaims {
		w.overwrite(value)
		require.Eventually(t, func() bool {
			e, err := claims.Get(w.ctx(), "claim.0")
			var c struct{ Shard *int }
			return err == nil && json.Unmarshal(e.Value(), &c) == nil && c.Shard != nil && *c.Shard == 0
		}, patience, tick, value)
	}
	w.untilHeld(names[1], 3)
	assert.Len(t, w.srv.Events(), before, "nobody has connected anew")
}

// A worker that has seen nothing but a value that is no claim takes the shard only when a holder would
// have replaced it.
func TestAShardWithoutAClaimIsTakenAfterALease(t *testing.T) {
	t.Parallel()
	w := newShardWorld(t, 1)
	w.overwrite("{}")
	began := time.Now()
	w.joins("a")
	w.untilHeld("a", 1)
	assert.GreaterOrEqual(t, time.Since(began), shardLease)
}

// A marker that names another shard, or none, does not stop the holder: it publishes its own.
func TestAForeignMarkerIsReplaced(t *testing.T) {
	w := newShardWorld(t, 1)
	w.joins("a")
	w.untilHeld("a", 1)
	got := w.handle("g")
	conn := w.conn("r0")
	for i, header := range []nats.Header{{}, {"Fleet-Fence": {"999999"}}, {"Fleet-Fence": {"999999"}, "Fleet-Shard": {"1"}}, {"Fleet-Fence": {"1"}, "Fleet-Shard": {"1"}}} {
		m := nats.NewMsg("wechatws.in._held.0")
		m.Header = header
		_, err := w.jetStream().PublishMsg(w.ctx(), m)
		require.NoError(t, err)
		require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"n","n":%d}`, i)))
		assert.Contains(t, string(got.next().Data), fmt.Sprint(i))
	}
	w.until("it is held", func(r map[string]fleet.Status) bool { return heldBy(r)["a"] == 1 })
	assert.Empty(t, audit.TwoSockets(audit.Holds(w.srv.Events())))
	assert.Len(t, w.srv.Conns(), 1)
}

// Values that are no claims and markers that are none, one after the other, do not stop the holder for longer
// than they come: it replaces both.
func TestTheHolderOutlastsAFloodOfForeignClaims(t *testing.T) {
	w := newShardWorld(t, 1)
	w.joins("a")
	w.untilHeld("a", 1)
	got := w.handle("g")
	conn := w.conn("r0")
	js := w.jetStream()
	for range 300 {
		for subject, value := range map[string]string{"$KV.wechatws-rooms.claim.0": "{}", "wechatws.in._held.0": "no marker"} {
			_, err := js.Publish(w.ctx(), subject, []byte(value))
			require.NoError(t, err)
		}
	}
	require.NoError(t, conn.Send(`{"msg_type":"still"}`))
	assert.Equal(t, "still", got.next().Type)
	w.untilHeld("a", 1)
}
