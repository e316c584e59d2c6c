//go:build linux && race

package attacks

const raceEnabled = true
