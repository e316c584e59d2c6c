//go:build !unix

package ws

import "syscall"

// writable returns nil: on this system a write cannot be kept from blocking.
func writable(syscall.Conn) syscall.RawConn { return nil }

// writeAtOnce is not called.
func writeAtOnce(uintptr, []byte) (int, error) { return 0, nil }
