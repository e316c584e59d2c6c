package simulation

import (
	"testing"
	"time"
)

// Schedules that have found a fault which few others find.

// A small message, which its sender writes, makes room for itself: a suspect leaves the queue, behind
// which another message waits whose encoding takes a second.
func TestSendDoesNotEncodeWhatWaitedBehindASuspect(t *testing.T) {
	replay(t, &schedule{
		Settings: settings{
			Messages: 2, Bytes: 1 << 20, Policy: 2, Drain: time.Second, Dial: 10 * time.Second,
			Tiers: []time.Duration{95 * time.Millisecond, time.Second}, Buffer: 65536, Limit: 10_000,
		},
		Steps: []step{
			{Do: "connect"},
			{Do: "advance"},
			{Do: "request", N: 20_000},
			{Do: "advance", D: time.Second},
			{Do: "hook", On: "Marshal", Then: "sleep", D: time.Second},
			{Do: "sendLate"},
			{Do: "sends", N: 1},
		},
	})
}
