package simulation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// A message to a room that no worker enters waits for as long as WithKeepOut permits, and no longer: neither
// does one whose ExpireAfter is longer. What is younger is delivered when there is a worker.
func TestMessagesToRoomsDoNotWaitForEver(t *testing.T) {
	virtual(t, 3, 1, 1, func(w *world) {
		waiting := func() (n uint64) {
			list, err := w.admin.fleet.Control().Storage(w.Context())
			require.NoError(w, err)
			for _, s := range list {
				if s.Stream == "wechatws-out" {
					assert.Equal(w, 168*time.Hour, s.MaxAge, "the default")
					n = s.Messages
				}
			}
			return n
		}
		require.NoError(w, w.admin.fleet.Send(w.Context(), "r0", "old"))
		require.NoError(w, w.admin.fleet.Send(w.Context(), "r0", "old", fleet.ExpireAfter(1000*time.Hour)))
		time.Sleep(167 * time.Hour)
		assert.EqualValues(w, 2, waiting())
		require.NoError(w, w.admin.send("r0", note, false))
		time.Sleep(time.Hour + time.Second)
		assert.EqualValues(w, 1, waiting())
		w.open("a", 0).work()
		w.held(10 * time.Second)
		w.settled(5 * time.Second)
	})
}
