package wechatws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/netns"
	"github.com/wechatws/wechatws/wstest"
)

// A journey is a client and a server in network namespaces of their own, with a router between
// them: 10.0.0.2 - 10.0.0.1|10.0.1.1 - 10.0.1.2. Its tests lose packets for real.
type journey struct {
	*netns.Namespace // the client's
	t                *testing.T
	router           *netns.Namespace
	server           *wstest.Server
	client           *Client
	closes           chan CloseEvent
	opens            chan OpenEvent
}

func travel(t *testing.T, test func(t *testing.T, j *journey)) {
	netns.Run(t, func(t *testing.T, here *netns.Namespace) {
		router, far := netns.New(t), netns.New(t)
		here.IP("link set far0 netns " + router.Path())
		router.IP("link set lo up", "link set far0 up", "address add 10.0.0.1/24 dev far0",
			"link add r1 type veth peer name s0", "link set s0 netns "+far.Path(),
			"link set r1 up", "address add 10.0.1.1/24 dev r1")
		far.IP("link set lo up", "link set s0 up", "address add 10.0.1.2/24 dev s0", "route add default via 10.0.1.1")
		var err error
		router.Do(func() { err = os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
		require.NoError(t, err)
		j := &journey{Namespace: here, t: t, router: router, closes: make(chan CloseEvent, 100), opens: make(chan OpenEvent, 100)}
		far.Do(func() { j.server = wstest.NewServer(wstest.WithAddr("10.0.1.2:0")) })
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

// lose silently drops packets: those to the client, or to the server.
func (j *journey) lose(to ...string) {
	for _, ip := range to {
		j.router.IP("route add blackhole " + ip)
	}
}

func (j *journey) find(to ...string) {
	for _, ip := range to {
		j.router.IP("route del blackhole " + ip)
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

// again waits until the client has connected again.
func (j *journey) again(what string) {
	j.t.Helper()
	start := time.Now()
	<-j.opens
	j.t.Logf("%s: open after %v", what, time.Since(start).Round(time.Millisecond))
}

func TestPacketsLostForever(t *testing.T) {
	t.Parallel()
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
		lost := time.Now()
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
		time.Sleep(time.Until(lost.Add(13 * time.Second))) // a verdict would have come by then
		assert.Empty(t, j.closes)
		assert.Equal(t, 1, j.client.Stats().Opens)
	})
}

// What the kernel had not delivered when the fence began to refuse must not arrive when the
// network is back: another process may have taken over by then.
func TestPacketsLostUntilTheFenceRefuses(t *testing.T) {
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

// Without a network there is no attempt, and with one there is an attempt at once, also if the
// schedule's next one is hours away.
func TestLinkDownAndUpWhileOpen(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.connect(WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
		j.IP("link set up0 down")
		j.halfOpen("link down")
		j.IP("link set up0 up", "route add default via 10.0.0.1")
		j.again("link up")
	})
}

// The address of the connection goes, or serves nobody any more, and there is another route to the
// server. The schedule's wait is hours.
func TestHandOverWhileOpen(t *testing.T) {
	for name, tt := range map[string]struct {
		before []string
		from   string // the address of the connection
		change []string
		err    error
		within time.Duration
	}{
		"another address": {nil, clientIP, []string{"address del 10.0.0.2/24 dev up0", "address add 10.0.0.3/24 dev up0",
			"route add default via 10.0.0.1"}, errAddressLost, 3 * time.Second},
		"another network": {nil, clientIP, []string{"address del 10.0.0.2/24 dev up0", "route add default via 10.0.2.1"},
			errAddressLost, 3 * time.Second},
		"a VPN goes": {[]string{"route add 0.0.0.0/1 via 10.0.2.1", "route add 128.0.0.0/1 via 10.0.2.1"}, "10.0.2.2",
			[]string{"link del lte0"}, errAddressLost, 3 * time.Second},
		"another network, and the address stays": {nil, clientIP, []string{"route replace default via 10.0.2.1"},
			ErrHalfOpen, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			travel(t, func(t *testing.T, j *journey) {
				j.IP("link add lte0 type veth peer name lte1", "link set lte1 netns "+j.router.Path(),
					"link set lte0 up", "address add 10.0.2.2/24 dev lte0")
				j.router.IP("link set lte1 up", "address add 10.0.2.1/24 dev lte1")
				j.IP(tt.before...)
				j.connect(WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
				time.Sleep(changePause) // an attempt would wait for the rest of it
				j.lose(tt.from)
				start := time.Now()
				j.IP(tt.change...)
				<-j.opens
				took := time.Since(start)
				t.Logf("%s: open after %v", name, took.Round(time.Millisecond))
				assert.ErrorIs(t, (<-j.closes).Err, tt.err)
				assert.Less(t, took, tt.within)
			})
		})
	}
}

func TestDefaultRouteGoneAndBackWhileOpen(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.connect(WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
		j.IP("route del default")
		j.halfOpen("default route gone")
		time.Sleep(time.Second) // an attempt may be under way
		j.IP("route add default via 10.0.0.1")
		j.again("default route back")
	})
}

// An outage that ends before the liveness timeout costs nothing.
func TestLinkDownAndUpAtOnce(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.connect(WithNetworkMonitor(SystemNetwork()))
		j.IP("link set up0 down")
		j.IP("link set up0 up", "route add default via 10.0.0.1")
		time.Sleep(10 * time.Second) // a wrong verdict would come now
		assert.Empty(t, j.closes)
		assert.Equal(t, 1, j.client.Stats().Opens)
	})
}

// While the server does not answer, addresses of other interfaces come and go, as on
// a container host: the attempt goes on. When its own address goes, another attempt
// begins at once.
func TestAnAttemptGoesOnUntilItsOwnRouteIsGone(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.lose(serverIP)
		j.IP("link add br0 type veth peer name pod0", "link set pod0 up", "link set br0 up")
		dialed := make(chan struct{}, 100)
		dialer := net.Dialer{Control: func(string, string, syscall.RawConn) error {
			dialed <- struct{}{}
			return nil
		}}
		c, err := New(j.server.URL(), WithProxy(nil), WithNetDial(dialer.DialContext), WithDialTimeout(time.Minute),
			WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
		require.NoError(t, err)
		changes := make(chan NetworkStatus, 100)
		c.OnNetworkChange(func(_ context.Context, s NetworkStatus) { changes <- s })
		connected := make(chan error, 1)
		go func() { connected <- c.Connect(t.Context()) }()
		<-dialed
		j.IP("address add 10.0.0.3/25 dev up0") // not used as long as there is the first one
		<-changes
		for range 3 {
			j.IP("address add 172.17.0.1/16 dev br0")
			<-changes
			j.IP("address del 172.17.0.1/16 dev br0")
			<-changes
		}
		require.Equal(t, StateConnecting, c.State())
		j.IP("address del 10.0.0.2/24 dev up0") // one command: between two, there could be a time without a network
		<-changes
		<-dialed
		j.find(serverIP)
		require.NoError(t, <-connected)
		assert.Equal(t, 2, c.Stats().Attempts)
		require.NoError(t, c.Close(StatusNormalClosure, ""))
	})
}

// Bridges, the links of containers, secondary addresses, and routes to other networks come and
// go: a client that waits goes on waiting. When the route to the server changes, it tries.
func TestAWaitEndsOnlyForChangesOfTheRouteToTheServer(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		j.server.AnswerAlways(wstest.Status(500, nil, ""))
		c, err := New(j.server.URL(), WithProxy(nil), WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
		require.NoError(t, err)
		waits := make(chan StateChange, 100)
		changes := make(chan NetworkStatus, 100)
		c.OnStateChange(func(_ context.Context, e StateChange) {
			if e.To == StateWaiting {
				waits <- e
			}
		})
		c.OnNetworkChange(func(_ context.Context, s NetworkStatus) { changes <- s })
		connected := make(chan error, 1)
		go func() { connected <- c.Connect(t.Context()) }()
		<-waits
		for range 3 {
			for _, commands := range [][]string{
				{"link add br0 type bridge", "link set br0 up", "link add pod0 type veth peer name pod1",
					"link set pod1 up", "link set pod0 master br0 up", "address add 172.17.0.1/16 dev br0"},
				{"address add 10.0.0.3/24 dev up0"},
				{"route add default via 10.0.0.9 metric 1000"}, // worse than the one in use
				{"address del 10.0.0.3/24 dev up0"},
				{"link del pod0", "link del br0"},
				{"route del default via 10.0.0.9 metric 1000"},
			} {
				j.IP(commands...)
				<-changes
			}
		}
		require.Equal(t, StateWaiting, c.State())
		require.Equal(t, 1, c.Stats().Attempts)

		j.IP("link add vpn0 type veth peer name vpn1", "link set vpn1 up", "link set vpn0 up", "address add 10.9.0.2/24 dev vpn0",
			"route add 0.0.0.0/1 dev vpn0", "route add 128.0.0.0/1 dev vpn0")
		<-waits
		require.Equal(t, 2, c.Stats().Attempts)
		j.server.AnswerAlways(wstest.Accept())
		j.IP("link del vpn0")
		require.NoError(t, <-connected)
		assert.Equal(t, 3, c.Stats().Attempts)
		require.NoError(t, c.Close(StatusNormalClosure, ""))
	})
}

// With a proxy, the route is that to the proxy.
func TestTheRouteToAProxy(t *testing.T) {
	travel(t, func(t *testing.T, j *journey) {
		var proxy net.Listener
		var err error
		j.router.Do(func() { proxy, err = net.Listen("tcp", "10.0.0.1:0") })
		require.NoError(t, err)
		defer proxy.Close()
		asked := make(chan net.Conn, 10)
		go func() {
			for {
				c, err := proxy.Accept()
				if err != nil {
					return
				}
				asked <- c // and never answers
			}
		}()
		c, err := New("wss://10.0.1.2", WithProxy(http.ProxyURL(&url.URL{Scheme: "http", Host: proxy.Addr().String()})),
			WithDialTimeout(time.Minute), WithNetworkMonitor(SystemNetwork()), WithTiers(Tier{Delay: 3 * time.Hour}))
		require.NoError(t, err)
		changes := make(chan NetworkStatus, 100)
		c.OnNetworkChange(func(_ context.Context, s NetworkStatus) { changes <- s })
		go func() { _ = c.Run(t.Context()) }()
		defer (<-asked).Close()
		j.IP("route del default") // that to the server
		<-changes
		require.Equal(t, 1, c.Stats().Attempts)
		j.IP("address del 10.0.0.2/24 dev up0", "address add 10.0.0.3/24 dev up0")
		<-changes
		defer (<-asked).Close()
		require.Equal(t, 2, c.Stats().Attempts)
		require.NoError(t, c.Close(StatusNormalClosure, ""))
	})
}

// A function given to SystemNetwork's Watch that panics, or ends its goroutine, is logged and
// affects no other watcher.
func TestAWatcherThatFailsAffectsNoOther(t *testing.T) {
	netns.Run(t, func(t *testing.T, here *netns.Namespace) {
		var log bytes.Buffer
		defer slog.SetDefault(slog.Default())
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		defer SystemNetwork().Watch(func(NetworkStatus) { panic("a watcher's bug") })()
		defer SystemNetwork().Watch(func(NetworkStatus) { runtime.Goexit() })()
		changes := make(chan NetworkStatus, 100)
		defer SystemNetwork().Watch(func(s NetworkStatus) { changes <- s })()
		for _, change := range []struct {
			command string
			want    NetworkStatus
		}{
			{"address del 10.0.0.2/24 dev up0", NetworkStatus{Type: "none"}},
			{"address add 10.0.0.3/24 dev up0", NetworkStatus{Connected: true, Type: "ethernet"}},
		} {
			here.IP(change.command)
			assert.Equal(t, change.want, <-changes)
			assert.Equal(t, change.want, SystemNetwork().Status())
			assert.Contains(t, log.String(), "a watcher's bug")
			assert.Contains(t, log.String(), "runtime.Goexit")
			log.Reset()
		}
	})
}
