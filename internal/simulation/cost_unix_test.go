//go:build unix

package simulation

import (
	"syscall"
	"time"
)

// processorTime returns how much processor time the process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
