package wechatws

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// inNamespace runs the test again, in a process of its own in a network namespace
// of its own, and tells whether that is where it runs now.
func inNamespace(t *testing.T) bool {
	const mark = "WECHATWS_TEST_NAMESPACE"
	if os.Getenv(mark) != "" {
		return true
	}
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (packages util-linux and iproute2)", tool)
		}
	}
	if out, err := exec.Command("unshare", "-nm", "true").CombinedOutput(); err != nil {
		t.Skipf("may not make a network namespace (needs root): %s", out)
	}
	// The namespace's own /sys tells of its own interfaces.
	cmd := exec.Command("unshare", "-nm", "sh", "-c", `mount -t sysfs sysfs /sys && exec "$0" "$@"`, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
	return false
}

func ip(t *testing.T, args string) {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil && strings.Contains(string(out), "not supported") {
		t.Skipf("ip %s: %s", args, out)
	}
	require.NoError(t, err, "ip %s: %s", args, out)
}

// What happens to real interfaces is told, each change once. With -v the log says
// after what time.
func TestSystemNetworkOnRealInterfaces(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link set lo up")
	ip(t, "link add here type veth peer name there")
	assert.Equal(t, NetworkStatus{Type: NetworkNone}, SystemNetwork().Status())

	changes := make(chan NetworkStatus, 100)
	stop := SystemNetwork().Watch(func(s NetworkStatus) { changes <- s })
	defer stop()
	once := 300 * time.Millisecond // how long to look for a second notice
	change := func(args string, connected bool) {
		t.Helper()
		began := time.Now()
		for _, line := range strings.Split(args, ", ") {
			ip(t, line)
		}
		select {
		case s := <-changes:
			assert.Equal(t, connected, s.Connected, args)
			t.Logf("%-55s told after %v", args, time.Since(began).Round(time.Millisecond))
		case <-time.After(5 * time.Second):
			t.Fatal("not told: ", args)
		}
		select {
		case <-changes:
			t.Error("told twice: ", args)
		case <-time.After(once):
		}
	}
	once = 3 * time.Second // a link-local address follows up to two seconds later
	change("addr add 10.9.0.1/24 dev here, link set here up, link set there up", true)
	once = 300 * time.Millisecond
	assert.Equal(t, NetworkEthernet, SystemNetwork().Status().Type)
	change("route add default via 10.9.0.2", true)
	change("route del default", true)
	change("addr add 10.9.0.7/24 dev here", true)
	change("addr del 10.9.0.7/24 dev here", true)
	change("link set there down", false) // carrier lost: addresses and routes stay
	change("link set there up", true)
	change("link set here down", false)
	change("link set here up", true)
	change("-6 addr add fd00::1/64 dev here nodad", true)
	change("link del here", false)

	for range 50 { // nothing in the end
		ip(t, "link add here type veth peer name there")
		ip(t, "link del here")
	}
	change("link add here type veth peer name there, addr add 10.9.0.1/24 dev here, link set here up, link set there up", true)
}

// When there are more events than the socket holds some are lost, and the kernel
// says so. That is a hint as well, and not the last one.
func TestNetlinkOverflow(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	hints := openNetworkHints().(*netlinkHints)
	require.NoError(t, hints.conn.SetReadBuffer(1)) // the kernel makes it its least
	for range 50 {
		ip(t, "link add here type veth peer name there")
		ip(t, "link del here")
	}
	_, err := hints.conn.Receive()
	for err == nil {
		_, err = hints.conn.Receive()
	}
	require.ErrorIs(t, err, unix.ENOBUFS, "the test makes an overflow")
	for range 50 {
		ip(t, "link add here type veth peer name there")
		ip(t, "link del here")
	}
	for n := 0; n < 10; n++ {
		hint, err := hints.wait(time.Second)
		require.NoError(t, err)
		if !hint {
			break
		}
	}
	ip(t, "link add here type veth peer name there")
	hint, err := hints.wait(time.Second)
	require.NoError(t, err)
	assert.True(t, hint)
	require.NoError(t, hints.Close())
}

func TestNetlinkHintsEndWithClose(t *testing.T) {
	hints, ok := openNetworkHints().(*netlinkHints)
	if !ok {
		t.Skip("may not open a netlink socket here")
	}
	time.AfterFunc(10*time.Millisecond, func() { hints.Close() })
	for {
		if _, err := hints.wait(0); err != nil {
			require.ErrorIs(t, err, net.ErrClosed)
			return
		}
	}
}
