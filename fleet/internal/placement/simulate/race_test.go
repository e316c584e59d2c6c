//go:build race

package main

// The race detector makes the simulation some ten times slower.
const rooms = 50_000
