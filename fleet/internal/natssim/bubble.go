package natssim

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// Bubble runs test in a bubble of [synctest.Test], one after the other.
//
// The NATS client keeps timers in a pool of the process, and a timer of one bubble must not be used in
// another one. The garbage collector empties a pool within two cycles.
func Bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	runtime.GC()
	runtime.GC()
	synctest.Test(t, test)
}
