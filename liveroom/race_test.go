//go:build race

package liveroom_test

const (
	// With thousands of goroutines that take turns the race detector itself fails now
	// and then: "CHECK failed: tsan_rtl.cpp:346".
	rooms = 100
	// A fraction of the rounds shows the races, and all of them take minutes.
	raceDetector = true
)
