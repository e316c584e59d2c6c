//go:build race

package liveroom_test

import "runtime"

const (
	// A fraction of the rooms and the rounds shows the races, and all of them take minutes.
	rooms        = 100
	raceDetector = true
)

// The race detector sees what is not ordered also when nothing runs at the same time. On two
// processors it ends the process now and then, with "CHECK failed: tsan_rtl.cpp:346": in a bubble all
// timers share one of its contexts, also those that two goroutines find expired in the same moment
// (https://go.dev/issue/78156).
func init() { runtime.GOMAXPROCS(1) }
