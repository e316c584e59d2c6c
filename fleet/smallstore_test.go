package fleet

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// An embedded server takes what the disk has, which may be little: a fleet fits all the same.
func TestAFleetReservesHalfOfASmallStore(t *testing.T) {
	sizes := []int64{defaultMaxIn, defaultMaxOut, maxRooms, maxLeases, maxGroups, maxDead}
	sum := func(store int64) (all int64) {
		for _, size := range sizes {
			part := standardIn(store, size)
			assert.Positive(t, part)
			all += part
		}
		return all
	}
	for _, store := range []int64{10 << 20, 512 << 20, 3 << 30} {
		assert.InDelta(t, store/2, sum(store), float64(store)/100, store)
	}
	assert.Equal(t, sum(1<<40), sum(1<<50), "of a large one no more than it needs")
	assert.EqualValues(t, defaultMaxIn, standardIn(1<<40, defaultMaxIn))
}
