package trials

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/freeport"
	"github.com/wechatws/wechatws/wstest"
)

// proxies are forward proxies, with a configuration of their address, a folder, and the port to
// which they make tunnels.
var proxies = map[string]struct {
	config string
	args   func(config string) []string
}{
	"tinyproxy": {
		"Listen 127.0.0.1\nPort %[1]s\nPidFile \"%[2]s/pid\"\nLogFile \"%[2]s/log\"\nMaxClients 10\nConnectPort %[3]s\nBasicAuth user s3cret-password\n",
		func(config string) []string { return []string{"-d", "-c", config} },
	},
	"squid": {
		"http_port 127.0.0.1:%[1]s\npid_filename %[2]s/pid\ncache_log %[2]s/log\naccess_log none\ncache deny all\n" +
			"shutdown_lifetime 0 seconds\npinger_enable off\nacl port port %[3]s\nhttp_access allow CONNECT port\nhttp_access deny all\n",
		func(config string) []string { return []string{"-N", "-f", config} },
	},
}

// A connection leads through proxies of which one (tinyproxy) does not know WebSocket.
func TestTunnels(t *testing.T) {
	for name, p := range proxies {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/TLS %t", name, secure), func(t *testing.T) {
				t.Parallel()
				needs(t, name, name)
				var options []wstest.Option
				if secure {
					options = append(options, wstest.WithTLS())
				}
				s := wstest.NewServer(options...)
				defer s.Close()
				addr, err := freeport.Addr("127.0.0.1")
				require.NoError(t, err)
				_, port, _ := net.SplitHostPort(addr)
				_, target, _ := net.SplitHostPort(s.Addr())
				dir := t.TempDir()
				config := filepath.Join(dir, "config")
				require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, p.config, port, dir, target), 0o600))
				run(t, addr, name, p.args(config)...)
				at := &url.URL{Scheme: "http", Host: addr, User: url.UserPassword("user", "s3cret-password")}
				with := []wechatws.Option{wechatws.WithProxy(http.ProxyURL(at)), wechatws.WithoutReconnect()}
				if secure {
					with = append(with, wechatws.WithTLSConfig(s.ClientTLS()))
				}
				c := newClient(t, s.URL(), with...).connect()
				conn, err := s.NextConn(t.Context())
				require.NoError(t, err)
				require.NoError(t, c.Send(t.Context(), wechatws.Text("hello")))
				m, err := conn.Receive(t.Context())
				require.NoError(t, err)
				require.Equal(t, "hello", m.Text())
				require.NoError(t, c.CloseNow())
			})
		}
	}
}
