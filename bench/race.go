//go:build race

package main

// raced tells that the race detector is on, under which more is allocated and pools
// forget at random.
const raced = true
