package fleet

import "time"

// pacing is the interval at which rooms that are due are handed over.
const pacing = 20 * time.Millisecond

// A pace says how many rooms are to be handed over.
type pace struct {
	at  time.Time // until then all rooms that were due are counted
	due float64   // rooms that are due and not handed over
}

// tick adds the rooms that are due since the last tick, at a rate of rooms a second.
func (p *pace) tick(now time.Time, rate float64) {
	rate = min(rate, 1e9) // any number times the rate is a number
	// Of the ticks that a busy process has missed, a few are caught up. More rooms at once would be empty
	// for longer.
	p.due = min(p.due+rate*now.Sub(p.at).Seconds(), max(5*rate*pacing.Seconds(), 1))
	p.at = now
}

// drainRate returns the rate at which so many rooms are handed over by the time when a third of the
// timeout is left, and then at once. The last third is for what takes longer than expected.
func drainRate(rooms int, left, timeout time.Duration) float64 {
	return float64(rooms) / max(left-timeout/3, pacing).Seconds()
}
