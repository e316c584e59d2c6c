package netmon

import (
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"syscall"
)

// A Route is how the machine reaches a server: the addresses that the last attempt has dialed, and
// the way to each. An attempt that dials none, because it fails before that, leaves those of the
// attempt before. The route is unknown until a dial reports addresses, which one that does not use
// package net never does.
type Route struct {
	mu    sync.Mutex // guards the fields below
	hops  []hop
	began bool // an attempt has begun, and has dialed none yet
}

// A hop is an address that was dialed.
type hop struct {
	to     netip.AddrPort
	source netip.Addr // of the dial
	live   bool       // the dial has not failed, and another one has not won the race
	last   way        // as it was last looked up
}

// A way is what the kernel decides for an address; zero: unreachable.
type way struct {
	source netip.Addr // the address that packets are sent from
	next   next
}

// A next is the next hop of a route. It is zero where the system does not report it.
type next struct {
	link    uint32     // the index of the link
	gateway netip.Addr // invalid: none
}

// Begin is called when an attempt begins.
func (r *Route) Begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = true
	for i := range r.hops {
		r.hops[i].live = false
	}
}

// Trace returns a trace for the context of a dial, which records the addresses as they are dialed.
func (r *Route) Trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		ConnectStart: func(_, address string) {
			to, err := netip.ParseAddrPort(address)
			if err != nil { // a Unix socket, or a name
				return
			}
			w := wayTo(to)
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.began {
				r.hops, r.began = nil, false
			}
			r.hops = append(r.hops, hop{to, w.source, w.source.IsValid(), w})
		},
		ConnectDone: func(_, address string, err error) {
			to, _ := netip.ParseAddrPort(address)
			r.mu.Lock()
			defer r.mu.Unlock()
			for i := range r.hops {
				h := &r.hops[i]
				if (h.to == to) == (err != nil) { // it has failed, or has lost the race
					h.live = false
				}
			}
		},
	}
}

// Check looks the route up. changed reports whether an address of it is reached in another way
// than when Check was last called, or was dialed; reachable, whether one of them can be reached.
// Both are true for an unknown route. gone reports whether packets of the dial under way would now
// be sent from other addresses, or not at all.
func (r *Route) Check() (changed, gone, reachable bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	live := false
	gone = true
	for i := range r.hops {
		h := &r.hops[i]
		w := wayTo(h.to)
		changed = changed || w != h.last
		reachable = reachable || w != (way{})
		h.last = w
		live = live || h.live
		gone = gone && !(h.live && w.source == h.source)
	}
	unknown := len(r.hops) == 0
	return changed || unknown, gone && live, reachable || unknown
}

// wayTo looks up the way to an address.
func wayTo(to netip.AddrPort) way {
	source, ok := sourceOf(to)
	if !ok {
		return way{}
	}
	return way{source, nextTo(to.Addr().Unmap())}
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

// Has reports whether an address is the machine's. Binding a socket to it sends nothing. If that does
// not show it, the address counts as the machine's.
func Has(ip netip.Addr) bool {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), 0)))
	if err != nil {
		return !errors.Is(err, syscall.EADDRNOTAVAIL)
	}
	c.Close()
	return true
}
