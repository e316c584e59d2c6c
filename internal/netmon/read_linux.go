package netmon

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// read reads the network from the kernel, in one dump each of links, addresses and routes. A
// change between the dumps does no harm, since its event causes another reading.
func read() (r reading, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return r, err
	}
	// Interface.Addrs would dump all addresses for each interface, without their flags.
	addresses, err := readAddresses()
	if err != nil {
		return r, err
	}
	for _, i := range interfaces {
		r.links = append(r.links, link{i, addresses[i.Index]})
	}
	r.routes, err = readDefaultRoutes()
	return r, err
}

// readAddresses returns the usable addresses by the index of their link.
func readAddresses() (map[int][]netip.Prefix, error) {
	addresses := map[int][]netip.Prefix{}
	err := dumpRoute(unix.RTM_GETADDR, unix.RTM_NEWADDR, func(m *syscall.NetlinkMessage) error {
		var header unix.IfAddrmsg
		if _, err := binary.Decode(m.Data, binary.NativeEndian, &header); err != nil {
			return err
		}
		if !usableAddress(header.Flags) {
			return nil
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return err
		}
		var address netip.Addr
		for _, a := range attributes {
			// On a point-to-point link IFA_ADDRESS is the peer's.
			local := a.Attr.Type == unix.IFA_LOCAL
			if local || a.Attr.Type == unix.IFA_ADDRESS && !address.IsValid() {
				address, _ = netip.AddrFromSlice(a.Value)
			}
		}
		index := int(header.Index)
		addresses[index] = append(addresses[index], netip.PrefixFrom(address, int(header.Prefixlen)))
		return nil
	})
	return addresses, err
}

// usableAddress reports whether the kernel sends from an address with these flags. It does not
// send from an IPv6 address during duplicate address detection, which takes a second or two.
// If such an address counted, the change would be reported before the address is usable, and not
// when it becomes usable.
func usableAddress(flags uint8) bool {
	if flags&unix.IFA_F_OPTIMISTIC != 0 {
		return true
	}
	return flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
}

// rtaNexthopID is RTA_NH_ID of linux/rtnetlink.h, which x/sys/unix lacks.
const rtaNexthopID = 30

// A rankedRoute is a default route with its rank: the route with the lowest rank is the best.
type rankedRoute struct {
	defaultRoute
	rank [4]uint32
}

// readDefaultRoutes returns the default routes of all tables, those of the main table first,
// then IPv4 before IPv6, then halves before the whole, then by metric.
func readDefaultRoutes() ([]defaultRoute, error) {
	var ranked []rankedRoute
	err := dumpRoute(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, func(m *syscall.NetlinkMessage) error {
		route, err := parseDefaultRoute(m)
		if route != nil {
			ranked = append(ranked, *route)
		}
		return err
	})
	slices.SortStableFunc(ranked, func(a, b rankedRoute) int { return slices.Compare(a.rank[:], b.rank[:]) })
	var routes []defaultRoute
	for _, r := range ranked {
		routes = append(routes, r.defaultRoute)
	}
	return routes, err
}

// parseDefaultRoute returns the route that m describes, or nil if it is not a default route. A VPN
// may take the default route by two routes to a half of all addresses each.
func parseDefaultRoute(m *syscall.NetlinkMessage) (*rankedRoute, error) {
	var header unix.RtMsg
	if _, err := binary.Decode(m.Data, binary.NativeEndian, &header); err != nil {
		return nil, err
	}
	unicast := header.Family == unix.AF_INET || header.Family == unix.AF_INET6 // not multicast routing, nor MPLS
	if header.Dst_len > 1 || !unicast {
		return nil, nil
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return nil, err
	}
	var r rankedRoute
	if header.Table != unix.RT_TABLE_MAIN {
		r.rank[0] = 1
	}
	r.rank[1], r.rank[2] = uint32(header.Family), uint32(1-header.Dst_len)
	digest := fmt.Appendf(nil, "default %d %d %d", header.Family, header.Dst_len, header.Type)
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.RTA_OIF:
			r.index = int(binary.NativeEndian.Uint32(a.Value))
		case unix.RTA_PRIORITY:
			r.rank[3] = binary.NativeEndian.Uint32(a.Value)
		case unix.RTA_DST, unix.RTA_TABLE, unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH, rtaNexthopID:
		default:
			continue // others, such as the age, change without a change of the route
		}
		digest = fmt.Appendf(digest, " %d:%x", a.Attr.Type, a.Value)
	}
	r.digest = string(digest)
	return &r, nil
}

// dumpRoute sends a request to route netlink, and calls each with every message of type answer
// in the response. The standard library reads interfaces in the same way.
func dumpRoute(request int, answer uint16, each func(*syscall.NetlinkMessage) error) error {
	dump, err := syscall.NetlinkRIB(request, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(dump)
	if err != nil {
		return err
	}
	for i := range messages {
		if messages[i].Header.Type != answer {
			continue
		}
		if err := each(&messages[i]); err != nil {
			return err
		}
	}
	return nil
}
