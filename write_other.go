//go:build !unix

package wechatws

import "syscall"

// writeAtOnce is for systems on which that can be done.
func writeAtOnce(syscall.RawConn, []byte) (int, error) { return 0, nil }
