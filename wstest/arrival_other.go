//go:build !linux

package wstest

import (
	"net"
	"time"
)

// A stampedConn knows when the kernel received what Read returns, on Linux only.
type stampedConn struct {
	net.Conn
	at time.Time
}

func stamp(net.Listener) {}

func stamped(net.Conn) *stampedConn { return nil }
