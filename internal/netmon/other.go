//go:build !linux

package netmon

import (
	"errors"
	"net"
	"net/netip"
)

// subscribe always fails, so that the listener polls.
func subscribe() (subscription, error) { return nil, errors.ErrUnsupported }

// read reads the network with the standard library, which reports no routes.
func read() (r reading, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return r, err
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			return r, err
		}
		l := link{Interface: i}
		for _, a := range addresses {
			// Other kinds of addresses, on exotic systems, are no source addresses.
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				l.addresses = append(l.addresses, prefix)
			}
		}
		r.links = append(r.links, l)
	}
	return r, nil
}

// linkType returns the type of the network behind a link, which the standard library does not
// report either.
func linkType(string) string { return Unknown }

// nextTo returns zero: the standard library reports no routes.
func nextTo(netip.Addr) next { return next{} }
