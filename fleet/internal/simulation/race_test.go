//go:build race

package simulation_test

// With the race detector a schedule takes several times as long.
const standardSeeds = 2
