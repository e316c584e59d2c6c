//go:build unix

package wechatws

import "syscall"

// writeAtOnce gives the socket as much of p as it takes without waiting.
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
