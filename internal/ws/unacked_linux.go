package ws

import (
	"syscall"
	"unsafe"
)

// unacked returns how many bytes of a socket wait for the peer's acknowledgement, and whether that
// is known.
func unacked(fd uintptr) (n int, known bool) {
	var bytes int32
	_, _, err := syscall.Syscall(syscall.SYS_IOCTL, fd, siocoutq, uintptr(unsafe.Pointer(&bytes)))
	return int(bytes), err == 0
}

const siocoutq = syscall.TIOCOUTQ // they have the same number
