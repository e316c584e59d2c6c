package wechatws_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// deadThenLive dials as net.Dialer dials a name with two addresses, the first of which
// never answers: it has half of the time until the context's deadline. Without a
// deadline it has all of the time there is.
func (w *world) deadThenLive() wechatws.Option {
	return wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		dead := ctx
		if deadline, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			dead, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
			defer cancel()
		}
		<-dead.Done()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return w.net.DialContext(ctx, network, addr)
	})
}

// tunnel starts a proxy on the world's network that connects to any server, with
// CONNECT for wss and by passing the request on for ws. It ends with the test.
func (w *world) tunnel() wechatws.Option {
	w.Helper()
	l, err := w.net.Listen("proxy.test:3128")
	require.NoError(w, err)
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		far, err := w.net.DialContext(r.Context(), "tcp", r.Host)
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
		if r.Method == http.MethodConnect {
			_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		} else {
			_ = r.Write(far)
		}
		copied := make(chan struct{})
		go func() { defer close(copied); _, _ = io.Copy(far, near); far.Close() }()
		_, _ = io.Copy(near, far)
		near.Close()
		<-copied
	})}
	go func() { _ = server.Serve(l) }()
	w.Cleanup(func() { server.Close() })
	return wechatws.WithProxy(func(*http.Request) (*url.URL, error) { return url.Parse("http://proxy.test:3128") })
}

// A dead address before a live one gets its share of the dial timeout, and the live one the
// rest.
func TestAddressesShareTheDialTimeout(t *testing.T) {
	for name, tt := range map[string]struct{ secure, proxied bool }{
		"ws":               {},
		"wss":              {secure: true},
		"ws over a proxy":  {proxied: true},
		"wss over a proxy": {secure: true, proxied: true},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr("server.test:443"), wstest.WithTLS())
				defer secure.Close()
				options, address := []wechatws.Option{w.deadThenLive(), wechatws.WithoutReconnect()}, w.srv.URL()
				if tt.secure {
					address = secure.URL()
					options = append(options, wechatws.WithTLSConfig(secure.ClientTLS()))
				}
				if tt.proxied {
					options = append(options, w.tunnel())
				}
				c := w.clientOf(address, options...)
				require.NoError(t, c.Connect(t.Context()))
				assert.Equal(t, 5*time.Second, w.since())
				c.close()
				w.sleep(0)
			})
		})
	}
}
