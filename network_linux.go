package wechatws

import (
	"errors"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// networkGroups are the multicast groups of route netlink that tell of changes.
// Link events are among them also for the routes: the kernel does not tell of
// IPv4 routes that go because their link is taken down.
const networkGroups = 1<<(unix.RTNLGRP_LINK-1) |
	1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) |
	1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1)

// netlinkSubscription is a route netlink socket. It needs no privileges. Waiting
// on it is the runtime poller's business and blocks no thread.
type netlinkSubscription struct {
	conn *netlink.Conn
}

// subscribeNetwork fails in sandboxes, such as Android's for apps and some
// seccomp profiles.
func subscribeNetwork() (networkSubscription, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: networkGroups})
	if err != nil {
		return nil, err
	}
	return netlinkSubscription{conn}, nil
}

func (s netlinkSubscription) receive(until time.Time) error {
	if err := s.conn.SetReadDeadline(until); err != nil {
		return err
	}
	_, err := s.conn.Receive()
	if errors.Is(err, unix.ENOBUFS) {
		return errNetworkOverflow
	}
	return err
}

func (s netlinkSubscription) close() { s.conn.Close() }
