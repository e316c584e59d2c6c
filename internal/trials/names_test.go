package trials

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A names is a name server. What it answers is in the test's hand.
type names struct {
	answer atomic.Value // a func(*dnsmessage.Message) (reply bool)
	conn   net.PacketConn

	mu      sync.Mutex // guards queries
	queries []net.Conn
}

func newNames(t *testing.T) *names {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &names{conn: conn}
	done := make(chan struct{})
	go func() { defer close(done); n.serve() }()
	t.Cleanup(func() {
		conn.Close()
		<-done
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range n.queries { // package net waits 5 s for an answer, whatever the context
			c.Close()
		}
	})
	return n
}

func (n *names) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:size]) != nil {
			continue
		}
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		if n.answer.Load().(func(*dnsmessage.Message) bool)(&m) {
			reply, _ := m.Pack()
			_, _ = n.conn.WriteTo(reply, from)
		}
	}
}

func (n *names) will(answer func(*dnsmessage.Message) bool) { n.answer.Store(answer) }

// is answers with one address.
func is(ip string) func(*dnsmessage.Message) bool {
	return func(m *dnsmessage.Message) bool {
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 3600},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(ip).As4()},
			}}
		}
		return true
	}
}

func fails(code dnsmessage.RCode) func(*dnsmessage.Message) bool {
	return func(m *dnsmessage.Message) bool { m.RCode = code; return true }
}

func silent(*dnsmessage.Message) bool { return false }

// resolver asks this name server.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		// Not net.Dialer: a late query would read net.DefaultResolver, which asDefault sets.
		c, err := net.DialUDP("udp", nil, n.conn.LocalAddr().(*net.UDPAddr))
		if err == nil {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.queries = append(n.queries, c)
		}
		return c, err
	}}
}

// dial asks this name server.
func (n *names) dial() wechatws.Option {
	d := net.Dialer{Resolver: n.resolver()}
	return wechatws.WithNetDial(d.DialContext)
}

// A name that cannot be resolved is tried again, and looked up again each time: the
// server may have moved.
func TestNames(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(*dnsmessage.Message) bool
		want   string
	}{
		"no such host":   {fails(dnsmessage.RCodeNameError), "no such host"},
		"server failure": {fails(dnsmessage.RCodeServerFailure), "server misbehaving"},
		"no answer":      {silent, "no answer within 1s"},
		"no address":     {func(*dnsmessage.Message) bool { return true }, "no such host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wstest.NewServer()
			defer s.Close()
			_, port, _ := net.SplitHostPort(s.Addr())
			n := newNames(t)
			n.will(tt.answer)
			c := newClient(t, "ws://rooms.example.:"+port, n.dial(), wechatws.WithDialTimeout(time.Second))
			opened := make(chan error, 1)
			go func() { opened <- c.Connect(t.Context()) }()
			for i := 1; i <= 2; i++ {
				err := c.failure(i)
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				require.Equal(t, "resolve", de.Phase)
				require.ErrorContains(t, err, tt.want)
				require.ErrorContains(t, err, "rooms.example.")
			}
			n.will(is("127.0.0.1"))
			require.NoError(t, <-opened)
		})
	}
}

func TestANameThatMoves(t *testing.T) {
	t.Parallel()
	first, second := wstest.NewServer(), (*wstest.Server)(nil)
	defer first.Close()
	_, port, _ := net.SplitHostPort(first.Addr())
	second = wstest.NewServer(wstest.WithAddr("127.0.0.2:" + port))
	defer second.Close()
	n := newNames(t)
	n.will(is("127.0.0.1"))
	c := newClient(t, "ws://rooms.example.:"+port, n.dial()).connect()
	n.will(is("127.0.0.2"))
	first.Stop(wstest.FIN)
	c.open(2)
	_, err := second.NextConn(t.Context())
	require.NoError(t, err)
}
