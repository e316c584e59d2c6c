package wechatws

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wechatws/wechatws/wstest"
)

// These tests lose packets for real: the client, a router and the server are in
// namespaces of their own, 10.0.0.2 - 10.0.0.1|10.0.1.1 - 10.0.1.2.

// A place is a network namespace, by a thread that is in it.
type place struct {
	t    *testing.T
	path string
	do   chan func()
}

func newPlace(t *testing.T) *place {
	p := &place{t, "", make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		p.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		ready <- err
		for fn := range p.do {
			fn()
		}
	}()
	require.NoError(t, <-ready)
	t.Cleanup(func() { close(p.do) })
	return p
}

// inside runs fn there.
func (p *place) inside(fn func()) {
	done := make(chan struct{})
	p.do <- func() { defer close(done); fn() }
	<-done
}

func (p *place) ip(commands ...string) {
	p.t.Helper()
	command := exec.Command("nsenter", "--net="+p.path, "ip", "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	out, err := command.CombinedOutput()
	require.NoError(p.t, err, "%s: %s", commands[0], out)
}

// A journey is a client and a server, with a router between them.
type journey struct {
	*namespace
	router, far *place
	server      *wstest.Server
	client      *Client
	closes      chan CloseEvent
	opens       chan OpenEvent
}

func travel(t *testing.T, test func(t *testing.T, j *journey)) {
	inNamespace(t, func(t *testing.T, n *namespace) {
		j := &journey{namespace: n, router: newPlace(t), far: newPlace(t), closes: make(chan CloseEvent, 100), opens: make(chan OpenEvent, 100)}
		n.ip("link set far0 netns " + j.router.path)
		j.router.ip("link set lo up", "link set far0 up", "address add 10.0.0.1/24 dev far0",
			"link add r1 type veth peer name s0", "link set s0 netns "+j.far.path,
			"link set r1 up", "address add 10.0.1.1/24 dev r1")
		j.far.ip("link set lo up", "link set s0 up", "address add 10.0.1.2/24 dev s0", "route add default via 10.0.1.1")
		j.router.inside(func() { require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)) })
		j.far.inside(func() { j.server = wstest.NewServer(wstest.WithAddr("10.0.1.2:0")) })
		defer j.server.Close()
		test(t, j)
	})
}

func (j *journey) connect(options ...Option) {
	var err error
	j.client, err = New(j.server.URL(), append([]Option{WithProxy(nil)}, options...)...)
	require.NoError(j.t, err)
	j.client.OnClose(func(_ context.Context, e CloseEvent) { j.closes <- e })
	j.client.OnOpen(func(_ context.Context, e OpenEvent) { j.opens <- e })
	require.NoError(j.t, j.client.Connect(j.t.Context()))
	j.t.Cleanup(func() { _ = j.client.Close(StatusNormalClosure, "") })
	<-j.opens
}

// lose drops packets without a word: those to the client, or to the server.
func (j *journey) lose(to ...string) {
	for _, ip := range to {
		j.router.ip("route add blackhole " + ip)
	}
}

func (j *journey) find(to ...string) {
	for _, ip := range to {
		j.router.ip("route del blackhole " + ip)
	}
}

const clientIP, serverIP = "10.0.0.2", "10.0.1.2"

// halfOpen waits for the verdict, which is due within the liveness timeout and one
// interval.
func (j *journey) halfOpen(what string) {
	j.t.Helper()
	start := time.Now()
	e := <-j.closes
	took := time.Since(start)
	j.t.Logf("%s: half-open found after %v", what, took.Round(time.Millisecond))
	assert.ErrorIs(j.t, e.Err, ErrHalfOpen)
	assert.Less(j.t, took, 13*time.Second)
}

// again waits for the next open.
func (j *journey) again(what string) {
	j.t.Helper()
	start := time.Now()
	<-j.opens
	j.t.Logf("%s: open after %v", what, time.Since(start).Round(time.Millisecond))
}

func TestPacketsLostForEver(t *testing.T) {
	for name, to := range map[string][]string{
		"both ways": {clientIP, serverIP}, "to the client": {clientIP}, "to the server": {serverIP},
	} {
		t.Run(name, func(t *testing.T) {
			travel(t, func(t *testing.T, j *journey) {
				j.connect()
				j.lose(to...)
				j.halfOpen(name)
				j.find(to...)
				j.again("packets are back")
			})
		})
	}
}

// What was sent meanwhile arrives, on the same connection.
func TestPacketsLostForFourSeconds(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.connect()
		conn, err := j.server.NextConn(t.Context())
		require.NoError(t, err)
		j.lose(clientIP, serverIP)
		for n := range 10 {
			require.NoError(t, j.client.Send(t.Context(), n))
		}
		time.Sleep(4 * time.Second) // the outage
		j.find(clientIP, serverIP)
		for n := 0; n < 10; {
			m, err := conn.Receive(t.Context())
			require.NoError(t, err)
			if m.Text() == fmt.Sprint(n) {
				n++
			}
		}
		time.Sleep(10 * time.Second) // a late verdict would come now
		assert.Empty(t, j.closes)
		assert.Equal(t, 1, j.client.Stats().Opens)
	})
}

// What the kernel had not got through when the lease ran out must not arrive when the
// network is back: somebody else may be there by then.
func TestPacketsLostUntilTheGuardRefuses(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		var over atomic.Bool
		errOver := errors.New("over")
		j.connect(WithFence(func() error {
			if over.Load() {
				return errOver
			}
			return nil
		}))
		conn, err := j.server.NextConn(t.Context())
		require.NoError(t, err)
		require.NoError(t, j.client.Send(t.Context(), "in time"))
		_, err = conn.Receive(t.Context())
		require.NoError(t, err)
		j.lose(clientIP, serverIP)
		require.NoError(t, j.client.Send(t.Context(), "written in time"))
		require.NoError(t, j.client.Flush(t.Context()))
		over.Store(true)
		require.ErrorIs(t, (<-j.closes).Err, errOver) // the next sign of life
		j.find(clientIP, serverIP)
		time.Sleep(5 * time.Second) // the kernel would have sent it again by then
		for _, m := range conn.Received() {
			assert.NotContains(t, m.Text(), "written in time")
		}
	})
}

// Without a network nothing is tried, and with one it is tried at once: a schedule
// of hours has no say.
func TestLinkDownAndUpWhileOpen(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.connect(WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
		j.ip("link set up0 down")
		j.halfOpen("link down")
		j.ip("link set up0 up", "route add default via 10.0.0.1")
		j.again("link up")
	})
}

func TestAddressChangesWhileOpen(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.connect(WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 100 * time.Millisecond}))
		j.ip("address del 10.0.0.2/24 dev up0", "address add 10.0.0.3/24 dev up0", "route add default via 10.0.0.1")
		j.halfOpen("address changed")
		j.again("address changed")
	})
}

func TestDefaultRouteGoneAndBackWhileOpen(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.connect(WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
		j.ip("route del default")
		j.halfOpen("default route gone")
		time.Sleep(time.Second) // an attempt may be under way
		j.ip("route add default via 10.0.0.1")
		j.again("default route back")
	})
}

// An outage that is over before anybody has noticed costs nothing.
func TestLinkDownAndUpAtOnce(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.connect(WithNetworkMonitor(SystemNetwork()))
		j.ip("link set up0 down")
		j.ip("link set up0 up", "route add default via 10.0.0.1")
		time.Sleep(10 * time.Second) // a wrong verdict would come now
		assert.Empty(t, j.closes)
		assert.Equal(t, 1, j.client.Stats().Opens)
	})
}
