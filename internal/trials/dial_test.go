package trials

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Whatever goes wrong while dialing is one failed attempt, with its step and its
// cause, and the next one follows by the schedule.
func TestDialFails(t *testing.T) {
	tests := map[string]struct {
		fail func(*wstest.Server) (mend func())
		step string
		want error
		text string
	}{
		"refused": {
			func(s *wstest.Server) func() { s.Stop(wstest.FIN); return s.Start },
			"connect", syscall.ECONNREFUSED, "connection refused",
		},
		"reset during the handshake": {
			func(s *wstest.Server) func() { s.AnswerAlways(wstest.CutHandshake(wstest.RST)); return accept(s) },
			"handshake", syscall.ECONNRESET, "connection reset by peer",
		},
		"EOF during the handshake": {
			func(s *wstest.Server) func() { s.AnswerAlways(wstest.CutHandshake(wstest.FIN)); return accept(s) },
			"handshake", io.EOF, "EOF",
		},
		"handshake never answered": {
			func(s *wstest.Server) func() { s.AnswerAlways(wstest.NoAnswer()); return accept(s) },
			"handshake", context.DeadlineExceeded, "no answer within 1s",
		},
		"reset right after the handshake": {
			func(s *wstest.Server) func() { s.AnswerAlways(wstest.AcceptThenCut(wstest.RST)); return accept(s) },
			"", nil, "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wstest.NewServer()
			defer s.Close()
			mend := tt.fail(s)
			c := newClient(t, s.URL(), wechatws.WithDialTimeout(time.Second))
			go func() { _ = c.Connect(t.Context()) }()
			if tt.want == nil {
				c.closed(2)
			} else {
				for n := 1; n <= 3; n++ {
					err := c.failure(n)
					var de *wechatws.DialError
					require.ErrorAs(t, err, &de)
					require.Equal(t, tt.step, de.Phase)
					require.Equal(t, s.Addr(), de.Addr)
					require.ErrorIs(t, err, tt.want)
					require.ErrorContains(t, err, tt.text)
				}
			}
			mend()
			c.until("open", func() bool { return c.State() == wechatws.StateOpen })
		})
	}
}

func accept(s *wstest.Server) func() { return func() { s.AnswerAlways(wstest.Accept()) } }

// The kernel's queue of connections to accept takes the dial; nobody is there.
func TestAListenerThatNobodyServes(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	start := time.Now()
	err = newClient(t, "ws://"+l.Addr().String(), wechatws.WithDialTimeout(time.Second), wechatws.WithoutReconnect()).Connect(t.Context())
	require.ErrorContains(t, err, "no answer within 1s")
	t.Logf("given up after %v", time.Since(start).Round(time.Millisecond))
}

// A reset on a connection that is open.
func TestReset(t *testing.T) {
	t.Parallel()
	s := wstest.NewServer()
	defer s.Close()
	c := newClient(t, s.URL()).connect()
	conn, err := s.NextConn(t.Context())
	require.NoError(t, err)
	conn.Cut(wstest.RST)
	require.ErrorIs(t, c.closed(1).Err, syscall.ECONNRESET)
	c.open(2)
}

// A proxy that refuses is told apart from the server behind it.
func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		url    string
		step   string
		want   string
		tries  int
	}{
		"credentials wanted, wss": {http.StatusProxyAuthRequired, "wss://server.example/", "proxy", "proxy answered 407 Proxy Authentication Required", 1},
		"credentials wanted, ws":  {http.StatusProxyAuthRequired, "ws://server.example/", "proxy", "proxy answered 407 Proxy Authentication Required", 1},
		"forbidden, wss":          {http.StatusForbidden, "wss://server.example/", "proxy", "proxy answered 403 Forbidden", 2},
		"forbidden, ws":           {http.StatusForbidden, "ws://server.example/", "proxy", "proxy answered 403 Forbidden", 2},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tt.status) }))
			defer proxy.Close()
			at, err := url.Parse(proxy.URL)
			require.NoError(t, err)
			at.User = url.UserPassword("user", "hunter2222")
			c := newClient(t, tt.url, wechatws.WithProxy(http.ProxyURL(at)))
			connected := make(chan error, 1)
			go func() { connected <- c.Connect(t.Context()) }()
			err = c.failure(tt.tries)
			if tt.tries == 1 { // and no more
				require.Equal(t, err, <-connected)
			}
			var de *wechatws.DialError
			require.ErrorAs(t, err, &de)
			require.Equal(t, tt.step, de.Phase)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "hunter2222")
			require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		l.Close()
		at := &url.URL{Scheme: "http", Host: l.Addr().String()}
		err = newClient(t, "ws://server.example/", wechatws.WithProxy(http.ProxyURL(at)), wechatws.WithoutReconnect()).Connect(t.Context())
		var de *wechatws.DialError
		require.ErrorAs(t, err, &de)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Equal(t, "proxy", de.Phase)
	})
}
