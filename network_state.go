package wechatws

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A networkState is what one look at the network gives.
type networkState struct {
	status     NetworkStatus
	digest     string // differs when anything does that counts as a change; never empty
	unreadable bool
}

// unreadableNetwork is the state that cannot be read. It counts as connected: a
// wrong "not connected" would stop clients from dialing.
var unreadableNetwork = networkState{
	status:     NetworkStatus{Connected: true, Type: networkUnknown},
	digest:     "unreadable",
	unreadable: true,
}

// A networkReading is what the system says, before it is judged.
type networkReading struct {
	interfaces []networkInterface
	routes     []networkRoute // default routes, best first; none where they are not read
}

type networkInterface struct {
	net.Interface
	addresses []netip.Prefix
}

// A networkRoute is a default route.
type networkRoute struct {
	index  int    // of its interface, 0 when it has none or several
	digest string // all that distinguishes it from another one
}

// state judges the reading. kind tells the type of the network behind an interface.
func (r networkReading) state(kind func(name string) string) networkState {
	if len(r.interfaces) == 0 {
		return unreadableNetwork // there is always loopback
	}
	var digest []string
	running := map[int]string{} // names by index
	best := ""                  // the interface of the best route, or else the first that has an address
	addresses := 0
	for _, i := range r.interfaces {
		// On Linux FlagRunning implies carrier and, on Wi-Fi, a finished handshake.
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagRunning == 0 {
			continue
		}
		global := globalAddresses(i.addresses)
		addresses += len(global)
		if i.Flags&net.FlagLoopback == 0 {
			running[i.Index] = i.Name
			if best == "" && len(global) > 0 {
				best = i.Name
			}
		}
		if len(global) > 0 {
			digest = append(digest, fmt.Sprintf("interface %d %s %v", i.Index, i.Name, global))
		}
	}
	// Links may be unnumbered, with the machine's address on loopback, as with BGP
	// on the host. That is why loopback's addresses count, but no interface does.
	connected := len(running) > 0 && addresses > 0
	if !connected {
		// One digest for all that is no network.
		return networkState{status: NetworkStatus{Type: networkNone}, digest: "none"}
	}
	routed := false
	for _, route := range r.routes {
		// A route through an interface without carrier stays in the table, and
		// whether it goes later changes nothing.
		name, ok := running[route.index]
		if route.index != 0 && !ok {
			continue
		}
		digest = append(digest, route.digest)
		if ok && !routed {
			best, routed = name, true
		}
	}
	slices.Sort(digest) // the kernel promises no order
	status := NetworkStatus{Connected: true, Type: networkUnknown}
	if best != "" {
		status.Type = kind(best)
	}
	return networkState{status: status, digest: fmt.Sprintln(status.Type, strings.Join(digest, "\n"))}
}

// globalAddresses leaves out, among others, link-local ones: with no other an
// interface reaches no server, and IPv6's follows a change by two seconds, which
// would be taken for a second one.
func globalAddresses(all []netip.Prefix) []netip.Prefix {
	global := slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return !p.Addr().IsGlobalUnicast() })
	slices.SortFunc(global, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return global
}
