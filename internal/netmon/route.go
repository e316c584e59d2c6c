package netmon

import (
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync"
)

// A Route is how the machine reaches a server: the addresses that a dial connects to, and the
// source address that the system has chosen for each. It is unknown until a dial reports
// addresses, which one that does not use package net never does.
type Route struct {
	mu      sync.Mutex                    // guards sources
	sources map[netip.AddrPort]netip.Addr // by address; several while they are raced
}

// Trace returns a trace for the context of a dial, which records the addresses as they are dialed.
func (r *Route) Trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		ConnectStart: func(_, address string) {
			to, err := netip.ParseAddrPort(address)
			if err != nil { // a Unix socket, or a name
				return
			}
			source, ok := sourceOf(to)
			if !ok {
				return
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.sources == nil {
				r.sources = map[netip.AddrPort]netip.Addr{}
			}
			r.sources[to] = source
		},
		ConnectDone: func(_, address string, err error) {
			to, _ := netip.ParseAddrPort(address)
			r.mu.Lock()
			defer r.mu.Unlock()
			source, ok := r.sources[to]
			switch {
			case !ok:
			case err != nil:
				delete(r.sources, to)
			default: // the others have lost the race
				clear(r.sources)
				r.sources[to] = source
			}
		},
	}
}

// Gone reports whether packets to the server would now be sent from other addresses, or not at
// all. It returns false for an unknown route.
func (r *Route) Gone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for to, source := range r.sources {
		if now, ok := sourceOf(to); ok && now == source {
			return false
		}
	}
	return len(r.sources) > 0
}

// sourceOf returns the address that the system would send from. Connecting a UDP socket looks
// up the route and sends nothing.
func sourceOf(to netip.AddrPort) (source netip.Addr, ok bool) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}, false
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), true
}
