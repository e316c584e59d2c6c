//go:build race

package simulation

// usual is how many seeds TestSeeds runs. The race detector makes each some ten times as long, and
// the schedules of a few hundred pass through the same code.
const usual = 500

// equalSeeds is how many of 50 seeds must give the same run twice. The race detector shuffles the
// goroutines that are ready.
const equalSeeds = 25
