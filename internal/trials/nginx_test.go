package trials

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/freeport"
	"github.com/wechatws/wechatws/wstest"
)

const nginxConfig = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		location /ws {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection "upgrade";
			proxy_read_timeout 1s;
			proxy_send_timeout 1s;
		}
		location /loop { return 301 /loop; }
		location /portal { return 302 /login; }
		location /login { default_type text/html; return 200 "<title>Sign in</title>"; }
		location /401 { return 401; }
		location /403 { return 403; }
		location /429 { add_header Retry-After 2 always; return 429; }
		location /503 { return 503; }
	}
}
`

// nginx runs one, in front of a server.
func nginx(t *testing.T, s *wstest.Server) (addr string, stop func()) {
	needs(t, "nginx", "nginx-light")
	dir := t.TempDir()
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	config := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, addr, s.Addr()), 0o600))
	return addr, run(t, addr, "nginx", "-c", config, "-p", dir, "-e", filepath.Join(dir, "error.log"))
}

// needs skips the test without a program, but in CI fails it.
func needs(t *testing.T, program, debian string) {
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no " + program)
		}
		t.Skip("no " + program + " here; Debian: apt-get install " + debian)
	}
}

// run runs a program until the test ends. It returns when the program listens at addr.
func run(t *testing.T, addr, program string, args ...string) (stop func()) {
	command := exec.Command(program, args...)
	var complaint strings.Builder
	command.Stderr = &complaint
	require.NoError(t, command.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait()
	}()
	stop = func() {
		_ = command.Process.Kill()
		<-ended
	}
	t.Cleanup(stop)
	for { // it listens within a second, and does not say when
		select {
		case <-ended:
			require.Fail(t, program+" has ended", "%s", &complaint)
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return stop
		}
		require.NoError(t, t.Context().Err())
		time.Sleep(10 * time.Millisecond)
	}
}

func TestNginx(t *testing.T) {
	t.Parallel()
	s := wstest.NewServer()
	defer s.Close()
	addr, stop := nginx(t, s)

	for path, tt := range map[string]struct {
		status int // of the answer; zero: none that is reported
		want   string
		wait   time.Duration // at least, until the next attempt; negative: there is none
	}{
		"/loop":   {0, "stopped after 3 redirects", 0},
		"/portal": {200, "server answered 200 OK", 0},
		"/401":    {401, "server answered 401 Unauthorized", -1},
		"/403":    {403, "server answered 403 Forbidden", -1},
		"/429":    {429, "server answered 429 Too Many Requests", 2 * time.Second},
		"/503":    {503, "server answered 503 Service Unavailable", 0},
	} {
		t.Run(path[1:], func(t *testing.T) {
			c := newClient(t, "ws://"+addr+path)
			opened := make(chan error, 1)
			go func() { opened <- c.Connect(t.Context()) }()
			err := c.failure(1)
			if tt.wait < 0 {
				err = <-opened
			}
			var de *wechatws.DialError
			require.ErrorAs(t, err, &de)
			require.Equal(t, "handshake", de.Phase)
			require.ErrorContains(t, err, tt.want)
			var he *wechatws.HandshakeError
			if tt.status != 0 {
				require.ErrorAs(t, err, &he)
				require.Equal(t, tt.status, he.Status)
			}
			if tt.wait < 0 {
				require.Equal(t, wechatws.StateFailed, c.State())
				return
			}
			waiting := func() (e wechatws.StateChange) {
				for _, e = range c.changes {
					if e.To == wechatws.StateWaiting {
						return e
					}
				}
				return e
			}
			c.until("a wait", func() bool { return waiting().To == wechatws.StateWaiting })
			require.GreaterOrEqual(t, waiting().RetryIn, tt.wait)
			require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
			<-opened
		})
	}

	t.Run("an idle tunnel is cut, a heartbeat keeps it", func(t *testing.T) {
		idle := newClient(t, "ws://"+addr+"/ws", wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness()).connect()
		beating := newClient(t, "ws://"+addr+"/ws", wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 300 * time.Millisecond})).connect()
		e := idle.closed(3)
		require.ErrorIs(t, e.Err, io.EOF)
		require.Equal(t, wechatws.StatusAbnormalClosure, e.Code)
		require.Equal(t, 1, beating.Stats().Opens)
	})

	t.Run("a server that is down behind it, and nginx itself", func(t *testing.T) {
		c := newClient(t, "ws://"+addr+"/ws", wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 300 * time.Millisecond})).connect()
		s.Stop(wstest.FIN)
		require.ErrorContains(t, c.failure(1), "server answered 502 Bad Gateway")
		s.Start()
		c.open(2)
		stop()
		c.closed(2)
	})
}
