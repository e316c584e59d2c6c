//go:build race

package leasemodel

// The race detector makes the explorer some ten times slower, and has nothing to find
// in it: only so many states are visited.
const limit = 15_000
