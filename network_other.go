//go:build !linux

package wechatws

import (
	"errors"
	"net"
	"net/netip"
)

// subscribeNetwork always fails, so that networkListener polls.
func subscribeNetwork() (networkSubscription, error) {
	return nil, errors.ErrUnsupported
}

// readNetwork reads the state of the network with the standard library, which has neither the
// routes nor the type of the network.
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
			// Other kinds of addresses, on exotic systems, are no source addresses.
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				i.addresses = append(i.addresses, prefix)
			}
		}
		r.interfaces = append(r.interfaces, i)
	}
	return r.state(func(string) string { return networkUnknown })
}
