//go:build unix

package wechatws

import "syscall"

// writeAtOnce writes as much of p as the socket takes without blocking, and returns how many
// bytes that is.
func writeAtOnce(c syscall.RawConn, p []byte) (n int, err error) {
	outer := c.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), p)
		return true
	})
	switch {
	case outer != nil:
		return 0, outer
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0, nil
	}
	return max(n, 0), err
}
