//go:build !race

package liveroom_test

const (
	rooms        = 1000
	raceDetector = false
)
