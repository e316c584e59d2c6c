//go:build !linux

package wechatws

import (
	"errors"
	"net"
	"net/netip"
)

// subscribeNetwork always fails, so that the network is polled.
func subscribeNetwork() (networkSubscription, error) {
	return nil, errors.ErrUnsupported
}

// readNetwork reads the state of the network as far as the standard library
// can: not the routes, nor what kind of network it is.
func readNetwork() networkState {
	links, err := net.Interfaces()
	if err != nil {
		return unreadableNetwork
	}
	var r networkReading
	for _, link := range links {
		addresses, err := link.Addrs()
		if err != nil {
			return unreadableNetwork
		}
		i := networkInterface{Interface: link}
		for _, a := range addresses {
			// Anything else, on exotic systems, is no address to send from.
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				i.addresses = append(i.addresses, prefix)
			}
		}
		r.interfaces = append(r.interfaces, i)
	}
	return r.state(func(string) string { return networkUnknown })
}
