package fleet

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPace(t *testing.T) {
	now := time.Now()
	p := pace{at: now}
	p.tick(now.Add(pacing), 10)
	assert.InDelta(t, 0.2, p.due, 1e-9)
	p.tick(now.Add(4*pacing), 10)
	assert.InDelta(t, 0.8, p.due, 1e-9, "missed ticks are caught up")
	p.tick(now.Add(time.Hour), 100)
	assert.InDelta(t, 10, p.due, 1e-9, "but only a few")
	p.tick(now.Add(2*time.Hour), math.SmallestNonzeroFloat64)
	assert.InDelta(t, 1, p.due, 1e-9)
	p.tick(now.Add(2*time.Hour), math.Inf(1))
	assert.InDelta(t, 1, p.due, 1e-9)
	p.tick(now.Add(2*time.Hour+pacing), math.Inf(1))
	assert.Greater(t, p.due, 1e6)
}

// The rate is as constant as the process keeps to it, and rises when it does not.
func TestDrainRate(t *testing.T) {
	assert.InDelta(t, 150, drainRate(2500, 25*time.Second, 25*time.Second), 0.1)
	assert.InDelta(t, 150, drainRate(1000, 15*time.Second, 25*time.Second), 0.1)
	assert.InDelta(t, 375, drainRate(2500, 15*time.Second, 25*time.Second), 0.1)
	assert.InDelta(t, 100*50, drainRate(100, time.Second, 25*time.Second), 0.1, "all at the next tick")
}
