package wechatws

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests change a real network, in a namespace of their own. A netlink socket
// belongs to the namespace of the thread that opened it, so each test runs itself
// again in a process that is in the namespace as a whole.

const namespaceTest = "NETWORK_NAMESPACE_TEST" // names the test, in that process

func inNamespace(t *testing.T, test func(t *testing.T, n *namespace)) {
	if os.Getenv(namespaceTest) == t.Name() {
		test(t, newNamespace(t))
		return
	}
	t.Parallel()
	unshare := []string{"--net", "--mount"}
	if os.Geteuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	// sysfs shows the network of the namespace it was mounted in.
	unshare = append(unshare, "sh", "-ec", `ip link set lo up; ip link add probe0 type veth; ip link del probe0; mount -t sysfs sysfs /sys; exec "$@"`, "sh")
	if out, err := exec.Command("unshare", append(unshare, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no network namespace to test in (it takes root or unprivileged user namespaces, unshare and iproute2): %v: %s", err, out)
	}
	command := exec.CommandContext(t.Context(), "unshare", append(unshare, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")...)
	command.Env = append(os.Environ(), namespaceTest+"="+t.Name())
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
}

// A namespace has one link, up0, with carrier, an address and a default route.
type namespace struct {
	t        *testing.T
	reported chan NetworkStatus
	late     time.Duration // how long to look for a second notice
}

var (
	networkOff = NetworkStatus{false, networkNone}
	networkOn  = NetworkStatus{true, networkEthernet}
)

func newNamespace(t *testing.T) *namespace {
	n := &namespace{t, make(chan NetworkStatus, 1000), 300 * time.Millisecond}
	n.ip("link add up0 type veth peer name far0")
	n.ip("link set far0 up")
	n.ip("link set up0 up")
	n.ip("address add 10.0.0.2/24 dev up0")
	n.ip("route add default via 10.0.0.1")
	return n
}

// ip runs commands of ip, each in one line, as one batch.
func (n *namespace) ip(commands ...string) {
	n.t.Helper()
	command := exec.Command("ip", "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	out, err := command.CombinedOutput()
	require.NoError(n.t, err, "%s: %s", commands[0], out)
}

func (n *namespace) watch() {
	stop := SystemNetwork().Watch(func(s NetworkStatus) { n.reported <- s })
	n.t.Cleanup(stop)
	n.quiet("what was set up before is no change")
}

// changes runs commands that make one change, and requires one report. The log has how long it
// took; a limit would depend on the load of the machine.
func (n *namespace) changes(want NetworkStatus, commands ...string) {
	n.t.Helper()
	n.changesWithin(10*time.Second, want, commands...)
}

func (n *namespace) changesWithin(limit time.Duration, want NetworkStatus, commands ...string) {
	n.t.Helper()
	start := time.Now()
	n.ip(commands...)
	select {
	case got := <-n.reported:
		n.t.Logf("%s: reported after %v", commands[0], time.Since(start).Round(time.Millisecond))
		assert.Equal(n.t, want, got, commands[0])
		assert.Equal(n.t, want, SystemNetwork().Status(), commands[0])
	case <-time.After(limit):
		require.Fail(n.t, "not reported", commands[0])
	}
	n.quiet(commands[0])
}

// quiet requires that nothing is reported for a while.
func (n *namespace) quiet(after string) {
	n.t.Helper()
	select {
	case got := <-n.reported:
		assert.Fail(n.t, "reported once more", "%s: %v", after, got)
	case <-time.After(n.late):
	}
}

func TestNetworkLinkDownAndUp(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.watch()
		n.changes(networkOff, "link set up0 down")
		n.late = 2500 * time.Millisecond // IPv6's link-local address is two seconds late
		n.changes(networkOn, "link set up0 up")
	})
}

func TestNetworkCarrier(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.watch()
		n.changes(networkOff, "link set far0 down")
		n.changes(networkOn, "link set far0 up")
	})
}

func TestNetworkAddress(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.watch()
		n.changes(networkOn, "address add 10.0.0.3/24 dev up0")
		n.changes(networkOn, "address del 10.0.0.3/24 dev up0")
		n.changes(networkOff, "address del 10.0.0.2/24 dev up0")
		n.changes(networkOn, "address add fd00::2/64 dev up0 nodad")
	})
}

// An address is reported when packets can be sent from it, and not before.
func TestNetworkAddressTentative(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.ip("address flush dev up0")
		n.watch()
		require.Equal(t, networkOff, SystemNetwork().Status())
		stop := SystemNetwork().Watch(func(NetworkStatus) {
			c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP("fd00::2")})
			if assert.NoError(t, err) {
				c.Close()
			}
		})
		defer stop()
		n.changesWithin(4*time.Second, networkOn, "address add fd00::2/64 dev up0")
	})
}

func TestNetworkDefaultRoute(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.ip("address add fd00::2/64 dev up0 nodad")
		n.watch()
		n.changes(networkOn, "route del default")
		n.changes(networkOn, "route add default via 10.0.0.1")
		n.changes(networkOn, "route replace default via 10.0.0.9")
		n.changes(networkOn, "route add default via 10.0.0.1 metric 100")
		n.changes(networkOn, "route add default via fd00::1")
		n.changes(networkOn, "route del default via fd00::1")
		n.changes(networkOn, "route add default via 10.0.0.1 table 51820")
		n.changes(networkOn, "route replace default nexthop via 10.0.0.1 nexthop via 10.0.0.9")
	})
}

func TestNetworkRouteDecidesType(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.ip("link add wwan0 type veth peer name cell0", "link set cell0 up", "link set wwan0 up", "address add 10.7.0.2/24 dev wwan0")
		n.watch()
		require.Equal(t, networkOn, SystemNetwork().Status())
		n.changes(NetworkStatus{true, networkUnknown}, "route replace default via 10.7.0.1")
		n.changes(networkOn, "route replace default via 10.0.0.1")
	})
}

func TestNetworkWithoutUsableAddress(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.watch()
		n.changes(networkOff, "address flush dev up0")
		n.ip("address add 169.254.3.4/16 dev up0")
		n.quiet("a link-local address")
		assert.Equal(t, networkOff, SystemNetwork().Status())
		n.ip("address add 203.0.113.1/32 dev lo")
		<-n.reported
		assert.True(t, SystemNetwork().Status().Connected, "an unnumbered link")
	})
}

// A change that affects no route to the server is not reported.
func TestNetworkIrrelevant(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.watch()
		n.ip("link add spare0 type veth peer name spare1", "link set spare0 up", "link set spare1 up")
		n.quiet("links without an address")
		n.ip("route add 10.8.0.0/16 via 10.0.0.1", "link set up0 mtu 1400", "neighbour add 10.0.0.7 lladdr 02:00:00:00:00:07 dev up0")
		n.quiet("another route, an MTU, a neighbour")
		n.ip("address add 10.0.0.3/24 dev up0", "address del 10.0.0.3/24 dev up0")
		n.quiet("an address, undone at once")
	})
}

func TestNetworkBurst(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		n.watch()
		var burst []string
		for i := range 5000 {
			burst = append(burst, fmt.Sprintf("address add 10.1.%d.%d/32 dev up0", i/250, i%250+1))
		}
		start := time.Now()
		n.ip(burst...)
		took := time.Since(start)
		require.Eventually(t, func() bool {
			systemNetwork.mu.Lock()
			defer systemNetwork.mu.Unlock()
			return systemNetwork.current.last.digest == readNetwork().digest
		}, 10*time.Second, 10*time.Millisecond, "the watchers know all of it")
		reported := 0
		for quiet := false; !quiet; {
			select {
			case <-n.reported:
				reported++
			case <-time.After(time.Second):
				quiet = true
			}
		}
		t.Logf("%d changes in %v: reported %d times", len(burst), took.Round(time.Millisecond), reported)
		assert.NotZero(t, reported)
		assert.LessOrEqual(t, reported, 2+int(took/networkQuietAtMost), "at most each 500 ms")
		n.changes(networkOff, "link set up0 down")
	})
}

func TestNetworkSocketOverflows(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		s, err := subscribeNetwork()
		require.NoError(t, err)
		var burst []string
		for i := range 5000 {
			burst = append(burst, fmt.Sprintf("route add 10.1.%d.%d/32 dev up0", i/250, i%250))
		}
		n.ip(burst...)
		require.ErrorIs(t, s.receive(time.Time{}), errNetworkOverflow)
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
func TestNetworkOneSocket(t *testing.T) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		before := openSockets(t)
		var stops []func()
		for range 100 {
			stops = append(stops, SystemNetwork().Watch(func(s NetworkStatus) { n.reported <- s }))
		}
		require.Eventually(t, func() bool { return openSockets(t) == before+1 }, time.Second, time.Millisecond)
		n.ip("address add 10.0.0.3/24 dev up0")
		for range stops {
			<-n.reported
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

func BenchmarkSystemNetworkStatus(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		SystemNetwork().Status()
	}
}
