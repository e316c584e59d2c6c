package wechatws

import (
	"bufio"
	"cmp"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// netlinkHints are the kernel's own events, from the route netlink socket.
type netlinkHints struct {
	conn   *netlink.Conn
	closed atomic.Bool
}

// openNetworkHints subscribes to links, addresses and routes. Where a process may
// not, as in some sandboxes, the network is polled.
func openNetworkHints() networkHints {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{
		Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV6_ROUTE,
	})
	if err != nil {
		return newPolledHints()
	}
	return &netlinkHints{conn: conn}
}

func (n *netlinkHints) wait(d time.Duration) (hint bool, err error) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	if err = n.conn.SetReadDeadline(until); err == nil {
		_, err = n.conn.Receive()
	}
	switch {
	case n.closed.Load():
		return false, net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	case err != nil && !errors.Is(err, unix.ENOBUFS):
		// The socket is of no use any more, or perhaps for a moment: look at the
		// network now and then rather than spin or stop.
		time.Sleep(quietAtMost)
	}
	// ENOBUFS says that events were lost: the best hint of all.
	return true, nil
}

func (n *netlinkHints) Close() error {
	n.closed.Store(true)
	return n.conn.Close()
}

// defaultRoutes are the default routes, the preferred one first.
func defaultRoutes() (routes []route) {
	const rtfUp = 1
	for _, f := range fields("/proc/net/route") {
		// Iface Destination Gateway Flags RefCnt Use Metric Mask …
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		flags, _ := strconv.ParseUint(f[3], 16, 32)
		metric, _ := strconv.ParseUint(f[6], 10, 32)
		if flags&rtfUp != 0 {
			routes = append(routes, route{f[0], f[2], metric})
		}
	}
	for _, f := range fields("/proc/net/ipv6_route") {
		// dest destlen source sourcelen nexthop metric refcnt use flags iface
		if len(f) < 10 || strings.Trim(f[0], "0") != "" || f[1] != "00" || f[9] == "lo" {
			continue
		}
		metric, _ := strconv.ParseUint(f[5], 16, 32)
		routes = append(routes, route{f[9], f[4], metric})
	}
	slices.SortStableFunc(routes, func(a, b route) int { return cmp.Compare(a.metric, b.metric) })
	return routes
}

// fields are the words of each line; none when the file cannot be read.
func fields(file string) (lines [][]string) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		lines = append(lines, strings.Fields(scan.Text()))
	}
	return lines
}

// networkType is what kind of network an interface belongs to.
func networkType(name string) NetworkType {
	for _, prefix := range [...]string{"wwan", "rmnet", "ccmni", "ppp"} { // cellular, of some generation
		if strings.HasPrefix(name, prefix) {
			return NetworkUnknown
		}
	}
	device := filepath.Join("/sys/class/net", name)
	for _, mark := range [...]string{"wireless", "phy80211"} {
		if _, err := os.Stat(filepath.Join(device, mark)); err == nil {
			return NetworkWiFi
		}
	}
	const arphrdEther = "1"
	if kind, err := os.ReadFile(filepath.Join(device, "type")); err == nil && strings.TrimSpace(string(kind)) == arphrdEther {
		return NetworkEthernet
	}
	return NetworkUnknown
}
