package simulation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A room that sends more than can be published does not hold up its client: what is beyond its budget is dropped,
// and what is within it is published as fast as it comes.
func TestARoomThatSendsTooMuchIsNotHeldUp(t *testing.T) {
	virtual(t, 18, 3, 1, func(w *world) {
		p := w.open("a", 0).work()
		time.Sleep(5 * time.Second)
		w.held(5 * time.Second)
		conn, _ := w.account.speaker("r0")
		const flood = 10_000
		before := p.worker.Stats()
		for range flood {
			require.NoError(w, conn.SendJSON(words{Type: "flood"}))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		after := p.worker.Stats()
		published, dropped := after.In-before.In, after.OverBudget-before.OverBudget
		assert.Greater(w, dropped, int64(flood/3))
		assert.Greater(w, published, int64(flood/3))
		assert.EqualValues(w, flood, published+dropped, "%d wait", flood-published-dropped)
	})
}
