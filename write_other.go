//go:build !unix

package wechatws

import "syscall"

// writeAtOnce takes nothing: on this system a write cannot be kept from blocking.
func writeAtOnce(syscall.RawConn, []byte) (int, error) { return 0, nil }
