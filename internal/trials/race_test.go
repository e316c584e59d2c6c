//go:build race

package trials

// With thousands of goroutines that take turns the race detector itself fails now
// and then: "CHECK failed: tsan_rtl.cpp:346".
const stormClients = 200
