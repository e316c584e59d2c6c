package netmon

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/netns"
)

// A machine is a network namespace whose monitor has a watcher.
type machine struct {
	*netns.Namespace
	t        *testing.T
	reported chan Status
	late     time.Duration // how long to look for a second report
}

var (
	off = Status{false, None}
	on  = Status{true, Ethernet}
)

// onMachine runs a test that changes a real network.
func onMachine(t *testing.T, test func(t *testing.T, m *machine)) {
	netns.Run(t, func(t *testing.T, here *netns.Namespace) {
		test(t, &machine{here, t, make(chan Status, 1000), 300 * time.Millisecond})
	})
}

func (m *machine) watch() (stop func()) {
	stop = System.Watch(func(s Status) { m.reported <- s })
	m.t.Cleanup(stop)
	m.quiet("what was set up before is no change")
	return stop
}

// changes runs commands that make one change, and requires one report. The log has how long it
// took; a limit would depend on the load of the machine.
func (m *machine) changes(want Status, commands ...string) {
	m.t.Helper()
	m.changesWithin(10*time.Second, want, commands...)
}

func (m *machine) changesWithin(limit time.Duration, want Status, commands ...string) {
	m.t.Helper()
	start := time.Now()
	m.IP(commands...)
	select {
	case got := <-m.reported:
		m.t.Logf("%s: reported after %v", commands[0], time.Since(start).Round(time.Millisecond))
		assert.Equal(m.t, want, got, commands[0])
		assert.Equal(m.t, want, System.Status(), commands[0])
	case <-time.After(limit):
		require.Fail(m.t, "not reported", commands[0])
	}
	m.quiet(commands[0])
}

// quiet requires that nothing is reported for a while.
func (m *machine) quiet(after string) {
	m.t.Helper()
	select {
	case got := <-m.reported:
		assert.Fail(m.t, "reported once more", "%s: %v", after, got)
	case <-time.After(m.late):
	}
}

func TestLinkDownAndUp(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.watch()
		m.changes(off, "link set up0 down")
		m.late = 2500 * time.Millisecond // IPv6's link-local address is two seconds late
		m.changes(on, "link set up0 up")
	})
}

func TestCarrier(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.watch()
		m.changes(off, "link set far0 down")
		m.changes(on, "link set far0 up")
	})
}

func TestAddress(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.watch()
		m.changes(on, "address add 10.0.0.3/24 dev up0")
		m.changes(on, "address del 10.0.0.3/24 dev up0")
		m.changes(off, "address del 10.0.0.2/24 dev up0")
		m.changes(on, "address add fd00::2/64 dev up0 nodad")
	})
}

// An address is reported when packets can be sent from it, and not before.
func TestAddressTentative(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.IP("address flush dev up0")
		m.watch()
		require.Equal(t, off, System.Status())
		stop := System.Watch(func(Status) {
			c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP("fd00::2")})
			if assert.NoError(t, err) {
				c.Close()
			}
		})
		defer stop()
		m.changesWithin(4*time.Second, on, "address add fd00::2/64 dev up0")
	})
}

func TestDefaultRoute(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.IP("address add fd00::2/64 dev up0 nodad")
		m.watch()
		m.changes(on, "route del default")
		m.changes(on, "route add default via 10.0.0.1")
		m.changes(on, "route replace default via 10.0.0.9")
		m.changes(on, "route add default via 10.0.0.1 metric 100")
		m.changes(on, "route add default via fd00::1")
		m.changes(on, "route del default via fd00::1")
		m.changes(on, "route add default via 10.0.0.1 table 51820")
		m.changes(on, "route add 0.0.0.0/1 via 10.0.0.9")
		m.changes(on, "route add 128.0.0.0/1 via 10.0.0.9")
		m.changes(on, "route replace default nexthop via 10.0.0.1 nexthop via 10.0.0.9")
	})
}

func TestRouteDecidesType(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.IP("link add wwan0 type veth peer name cell0", "link set cell0 up", "link set wwan0 up", "address add 10.7.0.2/24 dev wwan0")
		m.watch()
		require.Equal(t, on, System.Status())
		m.changes(Status{true, Unknown}, "route replace default via 10.7.0.1")
		m.changes(on, "route replace default via 10.0.0.1")
		m.changes(Status{true, Unknown}, "route add 128.0.0.0/1 via 10.7.0.1")
	})
}

func TestWithoutUsableAddress(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.watch()
		m.changes(off, "address flush dev up0")
		m.IP("address add 169.254.3.4/16 dev up0")
		m.quiet("a link-local address")
		assert.Equal(t, off, System.Status())
		m.IP("address add 203.0.113.1/32 dev lo")
		<-m.reported
		assert.True(t, System.Status().Connected, "an unnumbered link")
	})
}

// A change that affects no route to the server is not reported.
func TestIrrelevant(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.watch()
		m.IP("link add spare0 type veth peer name spare1", "link set spare0 up", "link set spare1 up")
		m.quiet("links without an address")
		m.IP("route add 10.8.0.0/16 via 10.0.0.1", "link set up0 mtu 1400", "neighbour add 10.0.0.7 lladdr 02:00:00:00:00:07 dev up0")
		m.quiet("another route, an MTU, a neighbour")
		m.IP("address add 10.0.0.3/24 dev up0", "address del 10.0.0.3/24 dev up0")
		m.quiet("an address, undone at once")
	})
}

func TestBurst(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		stop := m.watch()
		var burst []string
		for i := range 5000 {
			burst = append(burst, fmt.Sprintf("address add 10.1.%d.%d/32 dev up0", i/250, i%250+1))
		}
		start := time.Now()
		m.IP(burst...)
		took := time.Since(start)
		require.Eventually(t, func() bool {
			System.mu.Lock()
			defer System.mu.Unlock()
			return System.last.digest == readState().digest
		}, 10*time.Second, 10*time.Millisecond, "the watchers know all of it")
		stop() // waits for the last report
		reported := len(m.reported)
		t.Logf("%d changes in %v: reported %d times", len(burst), took.Round(time.Millisecond), reported)
		assert.NotZero(t, reported)
		// A machine that is busy makes pauses in the burst. TestEventsWithoutEnd has none.
		assert.LessOrEqual(t, reported, 2+int(took/quietFor))
	})
}

func TestSocketOverflows(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		s, err := subscribe()
		require.NoError(t, err)
		var burst []string
		for i := range 5000 {
			burst = append(burst, fmt.Sprintf("route add 10.1.%d.%d/32 dev up0", i/250, i%250))
		}
		m.IP(burst...)
		require.ErrorIs(t, s.receive(time.Time{}), errOverflow)
		events := 0
		for err == nil {
			err = s.receive(time.Now().Add(100 * time.Millisecond))
			events++
		}
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		t.Logf("%d of %d events were left in the socket", events-1, len(burst))
		s.close()
	})
}

// Any number of watchers share one socket, which is closed after the last stop.
func TestOneSocket(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		before := openSockets(t)
		var stops []func()
		for range 100 {
			stops = append(stops, System.Watch(func(s Status) { m.reported <- s }))
		}
		require.Eventually(t, func() bool { return openSockets(t) == before+1 }, time.Second, time.Millisecond)
		m.IP("address add 10.0.0.3/24 dev up0")
		for range stops {
			<-m.reported
		}
		assert.Equal(t, before+1, openSockets(t))
		for _, stop := range stops {
			stop()
		}
		assert.Equal(t, before, openSockets(t))
	})
}

func openSockets(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	sockets := 0
	for _, f := range files {
		target, _ := os.Readlink("/proc/self/fd/" + f.Name()) // the one for ReadDir is gone
		if strings.HasPrefix(target, "socket:") {
			sockets++
		}
	}
	return sockets
}

// A check is a call of Route.Check.
type check struct{ changed, gone bool }

func checked(r *Route) check {
	changed, gone, _ := r.Check()
	return check{changed, gone}
}

// dial records a dial to these addresses, none of which is connected yet.
func dial(r *Route, to ...string) {
	r.Begin()
	for _, address := range to {
		r.Trace().ConnectStart("tcp", address)
	}
}

func TestRouteGone(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.IP("link add br0 type veth peer name pod0", "link set pod0 up", "link set br0 up", "address add 10.7.0.2/24 dev br0")
		var route, raced, unknown Route
		dial(&route, "10.1.0.1:443")
		dial(&raced, "10.1.0.1:443", "10.7.0.1:443")
		dial(&unknown, "/run/server.sock")

		m.IP("address add 10.7.0.3/24 dev br0")
		assert.Equal(t, check{false, false}, checked(&route), "another link")
		m.IP("address del 10.0.0.2/24 dev up0", "address add 10.0.0.3/24 dev up0", "route add default via 10.0.0.1")
		assert.Equal(t, check{true, true}, checked(&route), "another source address")
		assert.Equal(t, check{false, true}, checked(&route), "not changed since")
		assert.Equal(t, check{true, false}, checked(&raced), "one of two addresses")
		raced.Trace().ConnectDone("tcp", "10.1.0.1:443", nil)
		assert.Equal(t, check{false, true}, checked(&raced), "the address that has won")

		m.IP("link set up0 down")
		assert.Equal(t, check{true, true}, checked(&route), "no route at all")
		assert.Equal(t, check{true, false}, checked(&unknown))
	})
}

// What changes for an address that was dialed, in the order of a day.
func TestRouteChanges(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		m.IP("address add fd00::2/64 dev up0 nodad", "route add default via fd00::1")
		var v4, v6, both Route
		dial(&v4, "203.0.113.1:443")
		dial(&v6, "[2001:db8::1]:443")
		dial(&both, "203.0.113.1:443", "[2001:db8::1]:443")
		for _, step := range []struct {
			name         string
			v4, v6, both check
			commands     []string
		}{
			{"a bridge", check{}, check{}, check{}, []string{"link add br0 type bridge", "link set br0 up",
				"link add pod0 type veth peer name pod1", "link set pod1 up", "link set pod0 master br0 up",
				"address add 172.17.0.1/16 dev br0", "address add fd17::1/64 dev br0 nodad"}},
			{"a bridge goes", check{}, check{}, check{}, []string{"link del br0", "link del pod0"}},
			{"a secondary address", check{}, check{}, check{}, []string{"address add 10.0.0.3/24 dev up0"}},
			{"a secondary address goes", check{}, check{}, check{}, []string{"address del 10.0.0.3/24 dev up0"}},
			{"a route to elsewhere", check{}, check{}, check{}, []string{"route add 198.51.100.0/24 via 10.0.0.9"}},
			{"another gateway", check{true, false}, check{}, check{true, false}, []string{"route replace default via 10.0.0.9"}},
			{"a VPN that takes the default route", check{true, true}, check{}, check{true, false},
				[]string{"tuntap add tun0 mode tun", "address add 10.9.0.2/24 dev tun0", "link set tun0 up",
					"route add 0.0.0.0/1 dev tun0", "route add 128.0.0.0/1 dev tun0"}},
			{"the VPN goes", check{true, false}, check{}, check{true, false}, []string{"link del tun0"}},
			{"IPv6 goes", check{}, check{true, true}, check{true, false}, []string{"route del default via fd00::1"}},
			{"IPv6 comes back", check{}, check{true, false}, check{true, false}, []string{"route add default via fd00::1"}},
			{"no network", check{true, true}, check{true, true}, check{true, true}, []string{"link set up0 down"}},
			{"still none", check{false, true}, check{false, true}, check{false, true}, []string{"link set far0 down"}},
		} {
			m.IP(step.commands...)
			assert.Equal(t, step.v4, checked(&v4), "%s: IPv4", step.name)
			assert.Equal(t, step.v6, checked(&v6), "%s: IPv6", step.name)
			assert.Equal(t, step.both, checked(&both), "%s: both", step.name)
		}
	})
}

// A dial that has failed has no way that could be gone, but its addresses are those of the next
// attempt, unless that one dials others.
func TestRouteOfAFailedDial(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		var route Route
		assert.Equal(t, check{true, false}, checked(&route), "unknown")
		m.IP("route del default")
		dial(&route, "203.0.113.1:443")
		assert.Equal(t, check{false, false}, checked(&route), "unreachable is not gone")
		m.IP("route add default via 10.0.0.1")
		assert.Equal(t, check{true, false}, checked(&route), "reachable")

		dial(&route, "203.0.113.1:443")
		route.Trace().ConnectDone("tcp", "203.0.113.1:443", net.ErrClosed)
		dial(&route) // the name was not resolved
		assert.Equal(t, check{false, false}, checked(&route))
		m.IP("link set up0 down")
		assert.Equal(t, check{true, false}, checked(&route))
		dial(&route, "127.0.0.1:443")
		m.IP("link set up0 up")
		assert.Equal(t, check{false, false}, checked(&route), "the address before is none of this attempt")
	})
}

// Another route is of use if the server can be reached by it, and needed if the address is gone.
func TestAddressesAndReachability(t *testing.T) {
	onMachine(t, func(t *testing.T, m *machine) {
		reachable := func(r *Route) bool { _, _, reachable := r.Check(); return reachable }
		own := netip.MustParseAddr("::ffff:10.0.0.2")
		var route, raced, unknown Route
		dial(&route, "203.0.113.1:443")
		dial(&raced, "203.0.113.1:443", "10.0.0.1:443")
		assert.True(t, Has(own))
		assert.True(t, reachable(&route))
		m.IP("route del default")
		assert.True(t, Has(own))
		assert.False(t, reachable(&route))
		assert.True(t, reachable(&raced), "one of its addresses")
		m.IP("address del 10.0.0.2/24 dev up0")
		assert.False(t, Has(own))
		assert.False(t, reachable(&raced))
		assert.True(t, reachable(&unknown))
	})
}

func BenchmarkRoute(b *testing.B) {
	var route Route
	dial(&route, "127.0.0.1:443")
	b.ReportAllocs()
	for b.Loop() {
		route.Check()
	}
}

func BenchmarkStatus(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		System.Status()
	}
}
