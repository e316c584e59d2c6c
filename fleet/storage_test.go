package fleet_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// storage returns what NATS keeps for the fleet, by name, and the names in order.
func (w *world) storage() (byName map[string]fleet.StorageStatus, names []string) {
	w.Helper()
	list, err := w.fleet.Control().Storage(w.ctx())
	require.NoError(w, err)
	byName = map[string]fleet.StorageStatus{}
	for _, s := range list {
		byName[s.Stream] = s
		names = append(names, s.Stream)
	}
	return byName, names
}

// Storage has every stream and bucket of the fleet, with its bounds and its oldest message.
func TestStorage(t *testing.T) {
	w := newStoredWorld(t, 4<<30)
	f, err := w.open(fleet.WithMaxIn(32*mib), fleet.WithKeepIn(time.Hour))
	require.NoError(t, err)
	w.fleet = f
	before, names := w.storage()
	assert.Equal(t, []string{"KV_wechatws-rooms", "KV_wechatws-leases-1", "wechatws-in", "wechatws-out"}, names)
	assert.Equal(t, fleet.StorageStatus{Stream: "wechatws-in", MaxBytes: 32 * mib, MaxAge: time.Hour}, before["wechatws-in"])
	assert.EqualValues(t, 512*mib, before["KV_wechatws-rooms"].MaxBytes)
	assert.Zero(t, before["wechatws-out"].Messages)

	w.add(1)
	for range 2 {
		require.NoError(t, f.Send(w.ctx(), "r0", "hello"))
	}
	now, _ := w.storage()
	out := now["wechatws-out"]
	assert.EqualValues(t, 2, out.Messages)
	assert.Positive(t, out.Bytes)
	assert.Positive(t, out.Age)
	assert.Less(t, out.Age, patience)
	assert.Greater(t, now["KV_wechatws-rooms"].Messages, before["KV_wechatws-rooms"].Messages)

	w.handle("g")
	require.Eventually(t, func() bool {
		_, names := w.storage()
		return len(names) == 6 && names[4] == "KV_wechatws-groups" && names[5] == "wechatws-dead"
	}, patience, tick, "the first handlers make them")
	w.info("wechatws-dead")
	require.NoError(t, w.js.DeleteStream(w.ctx(), "wechatws-out"))
	_, names = w.storage()
	assert.NotContains(t, names, "wechatws-out", "it does not exist")
}
