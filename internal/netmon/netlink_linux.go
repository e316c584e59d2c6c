package netmon

import (
	"errors"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// groups are the multicast groups of route netlink that report changes. Link events are also
// needed for the routes: the kernel sends no event for the IPv4 routes that are removed because
// their link is taken down.
const groups = 1<<(unix.RTNLGRP_LINK-1) |
	1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) |
	1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1)

// A netlinkSocket is a subscription by route netlink. It needs no privileges. receive waits in the
// runtime's poller and blocks no thread.
type netlinkSocket struct {
	conn *netlink.Conn
}

// subscribe subscribes to the kernel's events. It fails in sandboxes, such as that of Android
// apps and some seccomp profiles.
func subscribe() (subscription, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: groups})
	if err != nil {
		return nil, err
	}
	return netlinkSocket{conn}, nil
}

func (s netlinkSocket) receive(until time.Time) error {
	if err := s.conn.SetReadDeadline(until); err != nil {
		return err
	}
	_, err := s.conn.Receive()
	if errors.Is(err, unix.ENOBUFS) {
		return errOverflow
	}
	return err
}

func (s netlinkSocket) close() { s.conn.Close() }
