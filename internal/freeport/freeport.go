// Package freeport finds ports for servers that listen again after a pause, or in another
// process. The ports are outside the range that the kernel uses for outgoing connections:
// otherwise such a connection could take the port while the server is down.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
)

// The ephemeral ports begin at 32768 on Linux, and higher on other systems.
const first, end = 10000, 32768

// Listen listens on a free port of host. It falls back to an ephemeral port if a hundred
// ports in a row are taken.
func Listen(host string) (net.Listener, error) {
	for range 100 {
		port := first + rand.IntN(end-first)
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

// Addr returns an address of host, with a port, on which nothing listens. Another process may
// still take the port: a server that cannot listen on it must report that.
func Addr(host string) (string, error) {
	l, err := Listen(host)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
