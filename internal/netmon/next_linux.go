package netmon

import (
	"encoding/binary"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nextTo asks the kernel for the next hop to an address. It returns zero in a sandbox without
// netlink, and for link-local addresses, which have a route on every link.
func nextTo(to netip.Addr) (n next) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return next{}
	}
	defer conn.Close()
	header := unix.RtMsg{Family: unix.AF_INET, Dst_len: uint8(to.BitLen())}
	if to.Is6() {
		header.Family = unix.AF_INET6
	}
	destination := netlink.NewAttributeEncoder()
	destination.Bytes(unix.RTA_DST, to.AsSlice())
	attributes, err := destination.Encode()
	if err != nil {
		return next{}
	}
	data, err := binary.Append(nil, binary.NativeEndian, header)
	if err != nil {
		return next{}
	}
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request},
		Data:   append(data, attributes...),
	})
	if err != nil || len(answers) == 0 || len(answers[0].Data) < unix.SizeofRtMsg {
		return next{}
	}
	a, err := netlink.NewAttributeDecoder(answers[0].Data[unix.SizeofRtMsg:])
	if err != nil {
		return next{}
	}
	for a.Next() {
		switch a.Type() {
		case unix.RTA_OIF:
			n.link = a.Uint32()
		case unix.RTA_GATEWAY:
			n.gateway, _ = netip.AddrFromSlice(a.Bytes())
		}
	}
	return n
}
