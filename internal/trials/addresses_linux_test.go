package trials

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// are answers with several addresses, in this order; those of IPv6 are for the question about them.
func are(ips ...string) func(*dnsmessage.Message) bool {
	return func(m *dnsmessage.Message) bool {
		q := m.Questions[0]
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 3600}
		for _, ip := range ips {
			addr := netip.MustParseAddr(ip)
			switch {
			case addr.Is4() && q.Type == dnsmessage.TypeA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
			case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
			}
		}
		return true
	}
}

// rotating answers with several addresses, of which another one is the first in each answer.
func rotating(ips ...string) func(*dnsmessage.Message) bool {
	return func(m *dnsmessage.Message) bool {
		are(ips...)(m)
		if m.Questions[0].Type == dnsmessage.TypeA {
			ips = append(ips[1:], ips[0])
		}
		return true
	}
}

// asDefault makes the default net.Dialer ask this name server until the test ends. The
// test must not be parallel.
func (n *names) asDefault(t *testing.T) {
	before := net.DefaultResolver
	net.DefaultResolver = n.resolver()
	t.Cleanup(func() { net.DefaultResolver = before })
}

// accepting listens at ip and a server's port. The kernel takes the connections, and
// nothing answers them.
func accepting(t *testing.T, ip string, s *wstest.Server) *net.TCPListener {
	_, port, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// fill makes a listener drop further SYNs without an answer: its queue is full.
func fill(t *testing.T, l *net.TCPListener) {
	raw, err := l.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }))
	require.NoError(t, err)
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	for queued := uint32(0); queued == 0; {
		require.NoError(t, raw.Control(func(fd uintptr) {
			info, e := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			if err = e; err == nil {
				queued = info.Unacked // of a listener: the length of its queue
			}
		}))
		require.NoError(t, err)
	}
}

// The first address of a name swallows every SYN: it has half of the dial timeout, and
// the second one is reached in the same attempt.
func TestADeadAddressInFront(t *testing.T) {
	s := wstest.NewServer(wstest.WithAddr("127.0.0.2:0"))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Addr())
	fill(t, accepting(t, "127.0.0.1", s))
	n := newNames(t)
	n.will(are("127.0.0.1", "127.0.0.2"))
	start := time.Now()
	c := newClient(t, "ws://rooms.example.:"+port, n.dial(), wechatws.WithoutReconnect())
	require.NoError(t, c.Connect(t.Context()))
	t.Logf("open after %v", time.Since(start).Round(time.Millisecond))
}

// The first address of a name accepts connections and never answers: the next attempt
// begins with another one, and so does the first attempt after the connection has ended.
func TestAnAddressThatNeverAnswersIsNotFirstEveryTime(t *testing.T) {
	s := wstest.NewServer(wstest.WithAddr("127.0.0.2:0"))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Addr())
	accepting(t, "127.0.0.1", s)
	n := newNames(t)
	n.will(are("127.0.0.1", "127.0.0.2"))
	n.asDefault(t)
	c := newClient(t, "ws://rooms.example.:"+port, wechatws.WithDialTimeout(2*time.Second))
	go func() { _ = c.Connect(t.Context()) }()
	c.open(1)
	t.Logf("open after %d attempts", c.Stats().Attempts)
	conn, err := s.NextConn(t.Context())
	require.NoError(t, err)
	conn.Cut(wstest.RST)
	c.open(2)
	t.Logf("open again after %d attempts", c.Stats().Attempts)
}

// Three of four addresses accept connections and never answer: each costs one attempt, and none of
// them a second one.
func TestEachAddressThatNeverAnswersCostsOneAttempt(t *testing.T) {
	s := wstest.NewServer(wstest.WithAddr("127.0.0.4:0"))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Addr())
	for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
		accepting(t, ip, s)
	}
	n := newNames(t)
	n.will(are("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"))
	n.asDefault(t)
	c := newClient(t, "ws://rooms.example.:"+port, wechatws.WithDialTimeout(time.Second))
	start := time.Now()
	go func() { _ = c.Connect(t.Context()) }()
	c.open(1)
	t.Logf("open after %d attempts and %v", c.Stats().Attempts, time.Since(start).Round(time.Millisecond))
	require.Equal(t, 4, c.Stats().Attempts)
}

// Addresses that failed are tried again when the others fail: in the same attempt while
// there is time.
func TestAnAddressThatFailedIsTriedWhenTheOthersFail(t *testing.T) {
	s := wstest.NewServer(wstest.WithAddr("127.0.0.2:0"))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Addr())
	silent := accepting(t, "127.0.0.1", s)
	n := newNames(t)
	n.will(are("127.0.0.1", "127.0.0.2"))
	n.asDefault(t)
	c := newClient(t, "ws://rooms.example.:"+port, wechatws.WithDialTimeout(2*time.Second))
	go func() { _ = c.Connect(t.Context()) }()
	c.open(1)
	require.NoError(t, silent.Close())
	first := wstest.NewServer(wstest.WithAddr("127.0.0.1:" + port))
	defer first.Close()
	s.Stop(wstest.RST)
	c.open(2)
	_, err := first.NextConn(t.Context())
	require.NoError(t, err)
}

// Addresses of both families, of which one is alive: the others swallow every SYN. The families are
// dialed beside each other, the addresses of one share the time.
func TestAddressesOfBothFamilies(t *testing.T) {
	for _, live := range []string{"127.0.0.2", "::1"} {
		t.Run(live, func(t *testing.T) {
			s := wstest.NewServer(wstest.WithAddr(net.JoinHostPort(live, "0")))
			defer s.Close()
			_, port, _ := net.SplitHostPort(s.Addr())
			all := []string{"::1", "127.0.0.1", "127.0.0.2", "127.0.0.3"}
			for _, ip := range all {
				if ip != live {
					fill(t, accepting(t, ip, s))
				}
			}
			n := newNames(t)
			n.will(are(all...))
			n.asDefault(t)
			start := time.Now()
			c := newClient(t, "ws://rooms.example.:"+port, wechatws.WithoutReconnect())
			require.NoError(t, c.Connect(t.Context()))
			t.Logf("open after %v", time.Since(start).Round(time.Millisecond))
		})
	}
}

// Every second address of a name is dead, and the order changes with each answer.
func TestEverySecondAddressIsDead(t *testing.T) {
	for name, dead := range map[string]func(*testing.T, *net.TCPListener){
		"swallows":      fill,
		"never answers": func(*testing.T, *net.TCPListener) {},
		"refuses":       func(_ *testing.T, l *net.TCPListener) { l.Close() },
	} {
		for _, first := range []string{"dead", "alive"} {
			t.Run(name+"/"+first, func(t *testing.T) {
				s := wstest.NewServer(wstest.WithAddr("127.0.0.2:0"))
				defer s.Close()
				_, port, _ := net.SplitHostPort(s.Addr())
				other := wstest.NewServer(wstest.WithAddr("127.0.0.4:" + port))
				defer other.Close()
				dead(t, accepting(t, "127.0.0.1", s))
				dead(t, accepting(t, "127.0.0.3", s))
				all := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"}
				if first == "alive" {
					all = append(all[1:], all[0])
				}
				n := newNames(t)
				n.will(rotating(all...))
				n.asDefault(t)
				c := newClient(t, "ws://rooms.example.:"+port, wechatws.WithDialTimeout(2*time.Second))
				start := time.Now()
				go func() { _ = c.Connect(t.Context()) }()
				c.open(1)
				attempts := c.Stats().Attempts
				t.Logf("open after %d attempts and %v", attempts, time.Since(start).Round(time.Millisecond))
				require.LessOrEqual(t, attempts, 2)
				s.Stop(wstest.RST)
				s.Start()
				other.Stop(wstest.RST)
				other.Start()
				c.open(2)
				require.LessOrEqual(t, c.Stats().Attempts, attempts+2)
			})
		}
	}
}
