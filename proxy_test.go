package wechatws_test

import (
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A proxy that refuses everything with a status, once it is switched on; until then there
// is no proxy. Requests counts what it was asked.
type refusingProxy struct {
	on       atomic.Bool
	requests atomic.Int64
}

// proxy starts one on the world's network, which ends with the test.
func (w *world) proxy(status int) (*refusingProxy, wechatws.Option) {
	w.Helper()
	p := &refusingProxy{}
	l, err := w.net.Listen("proxy.test:3128")
	require.NoError(w, err)
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		p.requests.Add(1)
		rw.WriteHeader(status)
	})}
	go func() { _ = server.Serve(l) }()
	w.Cleanup(func() { server.Close() })
	return p, wechatws.WithProxy(func(*http.Request) (*url.URL, error) {
		if !p.on.Load() {
			return nil, nil
		}
		return url.Parse("http://user:hunter22@proxy.test:3128")
	})
}

// A proxy that wants another password is like a server that does: nobody will type it in
// while the client tries again. With a tunnel (wss) it is the proxy's own answer, without
// one (ws) it comes in the place of the server's.
func TestAProxyThatWantsAPasswordIsPermanent(t *testing.T) {
	for rawURL, step := range map[string]string{"wss://server.test": "proxy", "ws://server.test": "handshake"} {
		t.Run(string(step), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				proxy, through := w.proxy(http.StatusProxyAuthRequired)
				proxy.on.Store(true)
				c := w.clientOf(rawURL, through)
				connected := make(chan error, 1)
				go func() { connected <- c.Connect(t.Context()) }()
				w.sleep(time.Hour)
				require.Equal(t, wechatws.StateFailed, c.State())
				require.EqualValues(t, 1, proxy.requests.Load())
				err := <-connected
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				require.Equal(t, step, de.Phase)
				require.ErrorContains(t, err, "answered 407 Proxy Authentication Required")
				require.NotContains(t, err.Error(), "hunter22")
			})
		})
	}
}

// Once it has been open it is believed when it lasts, as a server's refusal is.
func TestAProxyThatWantsAPasswordLater(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr("server.test:443"), wstest.WithTLS())
		defer secure.Close()
		proxy, through := w.proxy(http.StatusProxyAuthRequired)
		c := w.clientOf(secure.URL(), through, wechatws.WithTLSConfig(secure.ClientTLS()), wechatws.WithPermanentAfter(time.Minute)).connect()
		w.sleep(time.Minute)
		proxy.on.Store(true)
		secure.Stop(wstest.RST)
		w.sleep(time.Hour)
		require.Equal(t, wechatws.StateFailed, c.State())
		require.EqualValues(t, 21, proxy.requests.Load(), "each 3 s, for a minute")
		var refused *wechatws.ProxyError
		require.ErrorAs(t, c.lastChange().Err, &refused)
		require.Equal(t, http.StatusProxyAuthRequired, refused.Status)
	})
}

// Other refusals of a proxy may pass: it cannot reach the server, or not now.
func TestAProxyThatCannotReachTheServer(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		virtual(t, func(t *testing.T, w *world) {
			proxy, through := w.proxy(status)
			proxy.on.Store(true)
			c := w.clientOf("wss://server.test", through)
			go func() { _ = c.Connect(t.Context()) }()
			w.sleep(10 * time.Second)
			require.Equal(t, wechatws.StateWaiting, c.State())
			require.EqualValues(t, 4, proxy.requests.Load())
			c.close()
		})
	}
}
