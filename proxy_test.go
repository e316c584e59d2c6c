package wechatws_test

import (
	"crypto/tls"
	"fmt"
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
	answer string // to CONNECT

	mu       sync.Mutex // guards requests
	requests []*http.Request
}

// tunnel starts one on the world's network, at example.com. It ends with the test.
func (w *world) tunnel(secure bool) *tunnelProxy {
	w.Helper()
	l, err := w.net.Listen("example.com:3128")
	require.NoError(w, err)
	p := &tunnelProxy{w: w, url: &url.URL{Scheme: "http", Host: "example.com:3128", User: url.UserPassword("user", "s3cret")}, answer: "HTTP/1.1 200 OK\r\n\r\n"}
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
	_, _ = io.WriteString(near, p.answer)
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

// Each status of 2xx is a tunnel, whatever the header says. An answer that is none is not shown: it
// may repeat the credentials.
func TestAnswersOfAProxy(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\n": "", "HTTP/1.0 200\r\n": "", "HTTP/1.1 201 Created\r\n": "", "HTTP/1.1 204 No Content\r\n": "",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n": "",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n":                     "",
		"HTTP/1.1 200 OK\r\nContent-Length: none\r\nno header\r\n":               "",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n":                       "",
		"HTTP/1.1 101 Switching Protocols\r\n":                                   "proxy answered 101 Switching Protocols",
		"HTTP/1.1 302 Found\r\nLocation: /\r\n":                                  "proxy answered 302 Found",
		"HTTP/1.1 s3cret\r\n":                                                    "proxyconnect tcp: the answer is not HTTP",
		"SSH-2.0 s3cret\r\n":                                                     "proxyconnect tcp: the answer is not HTTP",
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q/TLS %t", answer, secure), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					options, srv := []wechatws.Option{wechatws.WithoutReconnect()}, w.srv
					if secure {
						srv = wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
						defer srv.Close()
						options = append(options, wechatws.WithTLSConfig(srv.ClientTLS()))
					}
					p := w.tunnel(false)
					p.answer = answer + "\r\n"
					c := w.clientOf(srv.URL(), append(options, p.option())...)
					err := c.Connect(t.Context())
					if want == "" {
						require.NoError(t, err)
					} else {
						require.EqualError(t, err, "wechatws: proxy "+srv.Addr()+": "+want)
					}
					require.NoError(t, c.CloseNow())
					<-c.Done()
					w.sleep(0)
					assert.Zero(t, w.net.Clients())
				})
			})
		}
	}
}

// The address of a tunnel has an IPv6 address in brackets.
func TestATunnelToAnIPv6Address(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.another("[::1]:80")
		p := w.tunnel(false)
		c := w.clientOf("ws://[::1]", p.option(), wechatws.WithoutReconnect()).connect()
		assert.Equal(t, "[::1]:80", p.requests[0].RequestURI)
		c.close()
		w.sleep(0)
	})
}

// A proxy's URL without a scheme, or with one of another protocol, is an error, and nothing is sent.
func TestAProxyThatCannotBeUsed(t *testing.T) {
	for _, raw := range []string{
		"localhost:3128", "proxy.test", "//proxy.test:3128", "http://", "http://:3128", "socks5:3128", "socks4://proxy.test", "ftp://proxy.test", "ws://proxy.test",
	} {
		for _, scheme := range []string{"ws", "wss"} {
			virtual(t, func(t *testing.T, w *world) {
				proxy, err := url.Parse(raw)
				require.NoError(t, err)
				err = w.clientOf(scheme+"://server.test:80", wechatws.WithProxy(http.ProxyURL(proxy)), wechatws.WithoutReconnect()).Connect(t.Context())
				assert.EqualError(t, err, "wechatws: proxy server.test:80: the proxy's URL must have a host, and the scheme http, https, socks5 or socks5h", raw)
				assert.Empty(t, w.net.Dials())
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
