// Package addresses remembers which addresses of a name have failed, and tries them last.
package addresses

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// avoidFor is how long an address that has failed is tried after the others. It is limited so
// that a server that has recovered gets its share of the clients again.
const avoidFor = 10 * time.Minute

// maxAvoided is how many addresses are avoided for longer than that while attempts fail.
const maxAvoided = 100

// A Memory has the addresses of a client's servers that have failed lately. net.Dialer tries
// the addresses of a name in the resolver's order, so that without this memory an address that
// accepts connections and never answers would be the first one in every attempt.
type Memory struct {
	mu     sync.Mutex               // guards the fields below
	failed map[netip.Addr]time.Time // when
	// failing: an address has failed since an attempt has worked. With waits longer than avoidFor,
	// the first addresses would otherwise be tried again before the last ones.
	failing bool
}

func (m *Memory) fail(ip netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed == nil {
		m.failed = map[netip.Addr]time.Time{}
	}
	if len(m.failed) >= maxAvoided {
		m.failing = false
	}
	maps.DeleteFunc(m.failed, func(ip netip.Addr, _ time.Time) bool { return !m.avoidsLocked(ip) })
	m.failed[ip], m.failing = time.Now(), true
}

// Worked records that an attempt has succeeded. From now on failures are forgotten in time.
func (m *Memory) Worked() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing = false
}

func (m *Memory) avoids(ip netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.avoidsLocked(ip)
}

// avoidsLocked is avoids for a caller that holds mu.
func (m *Memory) avoidsLocked(ip netip.Addr) bool {
	at, failed := m.failed[ip]
	return failed && (m.failing || time.Since(at) < avoidFor)
}

// resolved forgets the failures of a name's addresses if all of them have failed: they are
// tried again in the resolver's order.
func (m *Memory) resolved(ips []netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !m.avoidsLocked(ip) }) {
		return
	}
	for _, ip := range ips {
		delete(m.failed, ip)
	}
}

// errAvoided makes net.Dialer continue with the next address.
var errAvoided = errors.New("the address has failed lately")

// A Choice decides in which order one attempt tries the addresses of a name, and
// records those that fail.
type Choice struct {
	Memory *Memory

	mu        sync.Mutex // guards the fields below; net.Dialer may try two addresses at a time
	several   bool       // the name has more than one address
	failed    bool       // connecting to an address of this attempt has failed
	connected netip.Addr // the last one that was connected to
}

// Dial is net.Dialer's DialContext, except that addresses that have failed lately are tried
// after all others have failed. ctx must have a deadline, which net.Dialer divides among the
// addresses.
func (c *Choice) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	c.several, c.connected = false, netip.Addr{}
	c.mu.Unlock()
	deadline, _ := ctx.Deadline()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) { c.resolved(i.Addrs) },
		ConnectDone: func(_, addr string, err error) {
			// Before the deadline, a dial is canceled because another address was faster, or
			// because the attempt has been given up. Neither is a failure of the address.
			canceled := errors.Is(err, context.Canceled) && time.Now().Before(deadline)
			if err != nil && !canceled && !errors.Is(err, errAvoided) {
				c.connectFailed(addr)
			}
		},
	})
	var avoided atomic.Bool
	dialer := net.Dialer{Control: func(_, addr string, _ syscall.RawConn) error {
		if c.avoids(addr) {
			avoided.Store(true)
			return errAvoided
		}
		return nil
	}}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil && avoided.Load() && ctx.Err() == nil {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.connected = ipOf(conn.RemoteAddr().String())
	c.mu.Unlock()
	return conn, nil
}

func (c *Choice) resolved(addrs []net.IPAddr) {
	ips := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			ips = append(ips, ip.Unmap().WithZone(a.Zone))
		}
	}
	c.mu.Lock()
	c.several = len(ips) > 1
	c.mu.Unlock()
	c.Memory.resolved(ips)
}

func (c *Choice) avoids(addr string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.several && c.Memory.avoids(ipOf(addr))
}

func (c *Choice) connectFailed(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.several {
		c.failed = true
		c.Memory.fail(ipOf(addr))
	}
}

// Failed records a failure of the address that was connected to. If other addresses have
// failed in this attempt, it does not: they have used up part of the time, and the next attempt,
// which avoids them, has all of it for this address.
func (c *Choice) Failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.several && !c.failed && c.connected.IsValid() {
		c.Memory.fail(c.connected)
	}
}

// ipOf returns the address in an address with a port.
func ipOf(addr string) netip.Addr {
	ap, _ := netip.ParseAddrPort(addr)
	return ap.Addr().Unmap()
}
