//go:build unix

package ws

import (
	"os"
	"syscall"
)

const canWriteAtOnce = true

// writeAtOnce writes as much of p as the socket takes without blocking, and returns how many
// bytes that is.
func writeAtOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, nil
		}
		return 0, os.NewSyscallError("write", err)
	}
}
