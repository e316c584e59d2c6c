//go:build race

package ws

// raceEnabled reports whether the race detector is on, under which a sync.Pool drops some of what it
// is given.
const raceEnabled = true
