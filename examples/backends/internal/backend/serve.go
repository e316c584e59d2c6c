package backend

import (
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/freeport"
)

// A Server is a server of the test's own process: a Go library, or a stand-in.
type Server struct {
	// Addr is its host and port, 127.0.0.1:12345, the same after each start.
	Addr string

	t      testing.TB
	server *http.Server
	conns  sync.Map // of net.Conn, hijacked ones too
}

// Serve starts a server. It is killed at the end of the test.
func Serve(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	s := &Server{Addr: addr, t: t}
	t.Cleanup(s.Kill)
	s.Start(handler)
	return s
}

// Start starts the server again after [Server.Kill], on the same port.
func (s *Server) Start(handler http.Handler) {
	s.t.Helper()
	l, err := net.Listen("tcp", s.Addr)
	require.NoError(s.t, err)
	s.server = &http.Server{Handler: handler, ConnState: func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Store(c, nil)
		}
	}}
	go s.server.Serve(l)
}

// Kill ends the server as a crash does: its connections end without a close frame, and
// nothing listens on its port.
func (s *Server) Kill() {
	s.server.Close()
	s.Cut()
}

// Cut resets the connections. The server goes on.
func (s *Server) Cut() {
	s.conns.Range(func(c, _ any) bool {
		c.(*net.TCPConn).SetLinger(0)
		c.(*net.TCPConn).Close()
		s.conns.Delete(c)
		return true
	})
}
