package fleet

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// However often members change, shards are placed at most every 100 ms, and by the last change in the end.
func TestChangesOfMembersAreMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Worker{}
		ten := &tenure{view: newView(), w: w, s: &session{id: "me"}, complete: true, settled: true, place: time.NewTimer(time.Hour)}
		for n := range 100 {
			ten.shard(strconv.Itoa(n))
		}
		placed := map[time.Time]bool{}
		for n := range 95 {
			ten.moved = ten.seeSession(0, told("s"+strconv.Itoa(n), &member{Name: "w" + strconv.Itoa(n)}))
			ten.settle()
			placed[ten.placed] = true
			time.Sleep(10 * time.Millisecond)
		}
		assert.Len(t, placed, 10)
		assert.True(t, ten.moved)
		assert.Less(t, len(ten.field.all.members), 95)
		<-ten.place.C
		ten.settle()
		assert.Len(t, ten.field.all.members, 95)
		for _, s := range ten.shards {
			assert.Same(t, ten.field.best(s), s.best)
		}
	})
}
