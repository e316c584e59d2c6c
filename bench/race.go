//go:build race

package main

// raced reports whether the race detector is on, which allocates more and empties pools at
// random.
const raced = true
