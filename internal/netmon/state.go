package netmon

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A state is what one reading of the network amounts to.
type state struct {
	status     Status
	digest     string // two states with the same digest are no change; never empty
	unreadable bool   // the reading has failed
}

func readState() state {
	r, err := read()
	if err != nil {
		return unreadable
	}
	return r.judge(linkType)
}

// unreadable is the state when the reading has failed. It counts as connected: a wrong
// "not connected" would keep clients from dialing.
var unreadable = state{
	status:     Status{Connected: true, Type: Unknown},
	digest:     "unreadable",
	unreadable: true,
}

// A reading is the data that a state is made of.
type reading struct {
	links  []link
	routes []defaultRoute // best first; none where they are not read
}

// A link is an interface with its addresses.
type link struct {
	net.Interface
	addresses []netip.Prefix
}

type defaultRoute struct {
	index  int    // of its link, 0 if it has none or several
	digest string // everything that distinguishes it from other routes
}

// judge returns the state that the reading amounts to. typeOf returns the type of the network
// behind a link.
func (r reading) judge(typeOf func(link string) string) state {
	if len(r.links) == 0 {
		return unreadable // a machine has at least loopback
	}
	var digest []string
	running := map[int]string{} // names by index
	best := ""                  // the link of the best route, otherwise the first with an address
	addresses := 0
	for _, l := range r.links {
		// On Linux FlagRunning implies carrier and, on Wi-Fi, a finished handshake.
		if l.Flags&net.FlagUp == 0 || l.Flags&net.FlagRunning == 0 {
			continue
		}
		global := globalAddresses(l.addresses)
		addresses += len(global)
		if l.Flags&net.FlagLoopback == 0 {
			running[l.Index] = l.Name
			if best == "" && len(global) > 0 {
				best = l.Name
			}
		}
		if len(global) > 0 {
			digest = append(digest, fmt.Sprintf("interface %d %s %v", l.Index, l.Name, global))
		}
	}
	// The links may be unnumbered and the machine's address on loopback, as with BGP on the
	// host: the addresses of loopback count, loopback itself does not.
	if connected := len(running) > 0 && addresses > 0; !connected {
		// No network has one digest, so that further changes are none.
		return state{status: Status{Type: None}, digest: "none"}
	}
	routed := false
	for _, route := range r.routes {
		// A route through a link without carrier may stay in the table; its removal is no
		// change.
		name, ok := running[route.index]
		if route.index != 0 && !ok {
			continue
		}
		digest = append(digest, route.digest)
		if ok && !routed {
			best, routed = name, true
		}
	}
	slices.Sort(digest) // the kernel's order is undefined
	status := Status{Connected: true, Type: Unknown}
	if best != "" {
		status.Type = typeOf(best)
	}
	return state{status: status, digest: fmt.Sprintln(status.Type, strings.Join(digest, "\n"))}
}

// globalAddresses returns the global unicast addresses, sorted. Link-local addresses reach no
// server, and that of IPv6 comes two seconds after the others, as if it were a second change.
func globalAddresses(all []netip.Prefix) []netip.Prefix {
	global := slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return !p.Addr().IsGlobalUnicast() })
	slices.SortFunc(global, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return global
}
