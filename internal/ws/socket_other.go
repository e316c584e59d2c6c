//go:build !unix

package ws

// On this system a write cannot be kept from blocking.
const canWriteAtOnce = false

// writeAtOnce is not called.
func writeAtOnce(uintptr, []byte) (int, error) { return 0, nil }
