package wechatws_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A tunnelProxy makes tunnels to any server. Other requests it refuses, as a proxy does that does
// not know WebSocket.
type tunnelProxy struct {
	w      *world
	server *httptest.Server
	url    *url.URL

	mu       sync.Mutex // guards requests
	requests []*http.Request
}

// tunnel starts one on the world's network, at example.com. It ends with the test.
func (w *world) tunnel(secure bool) *tunnelProxy {
	w.Helper()
	l, err := w.net.Listen("example.com:3128")
	require.NoError(w, err)
	p := &tunnelProxy{w: w, url: &url.URL{Scheme: "http", Host: "example.com:3128", User: url.UserPassword("user", "s3cret")}}
	p.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: p}}
	if secure {
		p.url.Scheme = "https"
		p.server.StartTLS()
	} else {
		p.server.Start()
	}
	w.Cleanup(p.server.Close)
	return p
}

func (p *tunnelProxy) option() wechatws.Option { return wechatws.WithProxy(http.ProxyURL(p.url)) }

func (p *tunnelProxy) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, r)
	p.mu.Unlock()
	if r.Method != http.MethodConnect {
		rw.WriteHeader(http.StatusNotImplemented)
		return
	}
	far, err := p.w.net.DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	copied := make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(far, near); far.Close() }()
	_, _ = io.Copy(near, far)
	near.Close()
	<-copied
}

// A proxy is asked for a tunnel, whatever the scheme of the server's URL and of its own.
func TestAProxyIsAskedForATunnel(t *testing.T) {
	for name, d := range dialers {
		for kind, tt := range map[string]struct{ secure, secureProxy bool }{
			"ws":             {},
			"wss":            {secure: true},
			"ws over https":  {secureProxy: true},
			"wss over https": {secure: true, secureProxy: true},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
					defer secure.Close()
					p := w.tunnel(tt.secureProxy)
					conf := secure.ClientTLS()
					if tt.secureProxy {
						conf.RootCAs.AddCert(p.server.Certificate())
					}
					srv := w.srv
					if tt.secure {
						srv = secure
					}
					srv.Answer(wstest.Status(302, http.Header{"Location": {"/b"}}, ""), wstest.Accept())
					c := w.clientOf(srv.URL(), over(d, wechatws.WithoutReconnect(), wechatws.WithTLSConfig(conf), p.option())...).connect()
					conn, err := srv.NextConn(t.Context())
					require.NoError(t, err)
					assert.Equal(t, "/b", conn.Request().URL.Path)
					assert.Empty(t, conn.Request().Header.Get("Proxy-Authorization"))
					c.send("hello")
					w.sleep(0)
					assert.Equal(t, []string{"hello"}, received(conn))
					require.Len(t, p.requests, 2, "one for each request")
					for _, r := range p.requests {
						assert.Equal(t, http.MethodConnect, r.Method)
						assert.Equal(t, srv.Addr(), r.Host)
						assert.Equal(t, "Basic dXNlcjpzM2NyZXQ=", r.Header.Get("Proxy-Authorization"))
					}
					c.close()
					w.sleep(0)
				})
			})
		}
	}
}

// A proxy that does not answer holds up neither an attempt nor its end.
func TestAProxyThatDoesNotAnswer(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				l, err := w.net.Listen("proxy.test:3128")
				require.NoError(t, err)
				defer l.Close()
				through := wechatws.WithProxy(http.ProxyURL(&url.URL{Scheme: scheme, Host: "proxy.test:3128"}))
				c := w.client(through, wechatws.WithoutReconnect())
				err = c.Connect(t.Context())
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				assert.ErrorContains(t, err, "no answer within 10s")
				assert.Equal(t, 10*time.Second, w.since())
				assert.Zero(t, w.net.Clients())

				c = w.client(through)
				go func() { _ = c.Connect(t.Context()) }()
				w.sleep(time.Second)
				require.NoError(t, c.CloseNow())
				<-c.Done()
				assert.Equal(t, 11*time.Second, w.since())
				assert.Zero(t, w.net.Clients())
			})
		})
	}
}

// The certificate of a proxy is verified too.
func TestAProxyWithAnUnknownCertificate(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		p := w.tunnel(true)
		c := w.client(p.option(), wechatws.WithTLSConfig(&tls.Config{}))
		err := c.Connect(t.Context())
		var de *wechatws.DialError
		require.ErrorAs(t, err, &de)
		assert.Equal(t, "proxy", de.Phase)
		assert.ErrorContains(t, err, "certificate signed by unknown authority")
		assert.Equal(t, wechatws.StateFailed, c.State())
		assert.Empty(t, p.requests)
	})
}
