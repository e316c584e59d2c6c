package wechatws

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A networkState is the result of one reading of the network.
type networkState struct {
	status     NetworkStatus
	digest     string // two states with the same digest are no change; never empty
	unreadable bool   // the reading has failed
}

// unreadableNetwork is the state when the reading has failed. It counts as connected: a wrong
// "not connected" would keep clients from dialing.
var unreadableNetwork = networkState{
	status:     NetworkStatus{Connected: true, Type: networkUnknown},
	digest:     "unreadable",
	unreadable: true,
}

// A networkReading is the data that a networkState is made of.
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
	digest string // everything that distinguishes it from other routes
}

// state returns the state that the reading amounts to. kind returns the type of the network
// behind an interface.
func (r networkReading) state(kind func(name string) string) networkState {
	if len(r.interfaces) == 0 {
		return unreadableNetwork // a machine has at least loopback
	}
	var digest []string
	running := map[int]string{} // names by index
	best := ""                  // the interface of the best route, otherwise the first with an address
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
	// The links may be unnumbered and the machine's address on loopback, as with BGP on the
	// host: the addresses of loopback count, the interface does not.
	connected := len(running) > 0 && addresses > 0
	if !connected {
		// No network has one digest, so that further changes are none.
		return networkState{status: NetworkStatus{Type: networkNone}, digest: "none"}
	}
	routed := false
	for _, route := range r.routes {
		// A route through an interface without carrier may stay in the table; its removal
		// is no change.
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
	status := NetworkStatus{Connected: true, Type: networkUnknown}
	if best != "" {
		status.Type = kind(best)
	}
	return networkState{status: status, digest: fmt.Sprintln(status.Type, strings.Join(digest, "\n"))}
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
