package wechatws_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestHandshake(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Accept(wstest.WithHeader(http.Header{"X-Served-By": {"gate-7"}}), wstest.WithSubprotocols("v2")))
		w.net.SetLatency(10 * time.Millisecond)
		c := w.clientOf(w.srv.URL()+"/ws?room=1", append(quiet(),
			wechatws.WithHeader(http.Header{"Cookie": {"a=b"}}), wechatws.WithSubprotocols("v3", "v2"))...).connect()
		w.sleep(0)
		r := w.conn().Request()
		assert.Equal(t, "/ws?room=1", r.URL.RequestURI())
		assert.Equal(t, "a=b", r.Header.Get("Cookie"))
		assert.Equal(t, "v3, v2", r.Header.Get("Sec-WebSocket-Protocol"))
		assert.Empty(t, r.Header.Get("Sec-WebSocket-Extensions"), "compression is off by default")
		e := c.opens[0]
		assert.Equal(t, "gate-7", e.Header.Get("X-Served-By"))
		assert.Equal(t, "v2", e.Subprotocol)
		assert.Equal(t, 1, e.Attempt)
		assert.Equal(t, w.start, e.Timings.Start)
		assert.Equal(t, 20*time.Millisecond, e.Timings.Handshake)
		assert.Equal(t, 20*time.Millisecond, e.Timings.Total)
		c.close()
	})
}

// A server that keeps its context although it was asked not to, as Workerman does:
// what it sends refers to what it has sent before.
func TestWrongCompressionIsGivenUp(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Accept(wstest.WithCompression()))
		w.srv.OnConn(func(c *wstest.Conn) {
			text := `{"msg_type":"message","content":"the same words again and again"}`
			if c.Request().Header.Get("Sec-WebSocket-Extensions") == "" {
				_ = c.Send(text)
				return
			}
			var b bytes.Buffer
			deflate, _ := flate.NewWriter(&b, flate.BestCompression)
			for range 2 {
				b.Reset()
				_, _ = deflate.Write([]byte(text))
				_ = deflate.Flush()
				data := bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
				_ = c.WriteRaw(append([]byte{0x80 | 0x40 | 1, byte(len(data))}, data...))
			}
		})
		c := w.client(append(quiet(), wechatws.WithCompression())...).record().connect()
		w.sleep(time.Minute)
		require.Len(t, c.closes, 1)
		require.ErrorIs(t, c.closes[0].Err, wechatws.ErrProtocol)
		require.Len(t, c.errors(), 1)
		require.EqualError(t, c.errors()[0], givenUp)
		require.Len(t, c.texts(), 2, "the first of the first connection, and that of the second")
		require.Equal(t, wechatws.StateOpen, c.State())
		c.close()
		c.connect() // it is remembered
		w.sleep(time.Second)
		requests := w.srv.Handshakes()
		require.Len(t, requests, 3)
		require.NotEmpty(t, requests[0].Header.Get("Sec-WebSocket-Extensions"))
		require.Empty(t, requests[1].Header.Get("Sec-WebSocket-Extensions"))
		require.Empty(t, requests[2].Header.Get("Sec-WebSocket-Extensions"))
		c.close()
	})
}

func TestCompression(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Accept(wstest.WithCompression()))
		c := w.client(append(quiet(), wechatws.WithCompression())...).record().connect()
		conn := w.conn()
		assert.Contains(t, conn.Request().Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
		long := `{"msg_type":"x","pad":"` + strings.Repeat("ha", 5000) + `"}`
		c.send(long)
		require.NoError(t, conn.Send(long))
		w.sleep(0)
		assert.Equal(t, []string{long}, received(conn))
		assert.Equal(t, []string{long}, c.texts())
		c.close()
	})
}

func TestDialTimeout(t *testing.T) {
	for name, stall := range map[string]func(w *world){
		"no answer":  func(w *world) { w.srv.Answer(wstest.NoAnswer()) },
		"no packets": func(w *world) { w.net.Down(); time.AfterFunc(11*time.Second, w.net.Up) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				stall(w)
				c := w.client().connect()
				assert.Equal(t, 13*time.Second, w.since(), "10 s and the first tier's 3 s")
				require.Len(t, c.errors(), 1)
				assert.ErrorIs(t, c.errors()[0], context.DeadlineExceeded)
				assert.ErrorContains(t, c.errors()[0], "server.test:80: no answer within 10s")
				c.close()
			})
		})
	}
}

// Each kind of failure has its phase and its error.
func TestFailuresNameTheirStep(t *testing.T) {
	tests := map[string]struct {
		answer wstest.Answer
		step   string
		want   string
	}{
		"reset":        {wstest.CutHandshake(wstest.RST), "handshake", "connection reset by peer"},
		"eof":          {wstest.CutHandshake(wstest.FIN), "handshake", "wechatws: handshake server.test:80: EOF"},
		"a page":       {wstest.Status(200, nil, "<html>\n<title>Sign in</title>"), "handshake", "wechatws: handshake server.test:80: server answered 200 OK"},
		"502":          {wstest.Status(502, nil, ""), "handshake", "wechatws: handshake server.test:80: server answered 502 Bad Gateway"},
		"no HTTP":      {wstest.Raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "handshake", "malformed HTTP response"},
		"wrong accept": {wstest.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: nonsense\r\n\r\n"), "handshake", "server answered 101 Switching Protocols: header Sec-WebSocket-Accept [\"nonsense\"]: does not answer the key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(tt.answer)
				c := w.client(wechatws.WithoutReconnect())
				err := c.Connect(t.Context())
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				assert.Equal(t, tt.step, de.Phase)
				assert.Equal(t, "server.test:80", de.Addr)
				assert.ErrorContains(t, err, tt.want)
				assert.Zero(t, w.net.Clients(), "nothing is left of it")
			})
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			w.net.Unreachable(true)
			err := w.client(wechatws.WithoutReconnect()).Connect(t.Context())
			assert.EqualError(t, err, "wechatws: connect server.test:80: network is unreachable")
		})
	})
	t.Run("proxy", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			proxy := func(*http.Request) (*url.URL, error) { return url.Parse("http://user:secret@proxy.test:3128") }
			err := w.client(wechatws.WithoutReconnect(), wechatws.WithProxy(proxy)).Connect(t.Context())
			var de *wechatws.DialError
			require.ErrorAs(t, err, &de)
			assert.Equal(t, "proxy", de.Phase)
			assert.NotContains(t, err.Error(), "secret")
			broken := func(*http.Request) (*url.URL, error) { return nil, errors.New("http://user:secret@proxy is wrong") }
			err = w.client(wechatws.WithoutReconnect(), wechatws.WithProxy(broken)).Connect(t.Context())
			assert.EqualError(t, err, "wechatws: proxy server.test:80: the proxy settings cannot be used")
		})
	})
	t.Run("endpoint", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			err := w.clientOf("", wechatws.WithoutReconnect(), wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
				return wechatws.Endpoint{URL: "mailto:secret@host"}, nil
			})).Connect(t.Context())
			assert.EqualError(t, err, `wechatws: endpoint: url("mailto:"): scheme must be ws or wss (http and https are taken as those)`)
		})
	})
}

func TestResolveFailureOnARealSocket(t *testing.T) {
	c, err := wechatws.New("ws://no-such-host.invalid/", wechatws.WithProxy(nil), wechatws.WithoutReconnect(),
		wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			// A resolver of the test's own: no query leaves the machine.
			r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no resolver here")
			}}
			return (&net.Dialer{Resolver: r}).DialContext(ctx, network, addr)
		}))
	require.NoError(t, err)
	err = c.Connect(t.Context())
	var de *wechatws.DialError
	require.ErrorAs(t, err, &de)
	assert.Equal(t, "resolve", de.Phase)
	assert.ErrorContains(t, err, "wechatws: resolve no-such-host.invalid:80: ")
}

func TestRedirects(t *testing.T) {
	to := func(location string) wstest.Answer {
		return wstest.Status(302, http.Header{"Location": {location}}, "")
	}
	secrets := []wechatws.Option{wechatws.WithoutReconnect(), wechatws.WithHeader(http.Header{
		"Authorization": {"Bearer secret"}, "X-Token": {"secret"}, "x-lower-case": {"secret"}, "Cookie": {"s=secret"},
	})}
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(to("/b"), to("/c"), to("/d"), wstest.Accept())
		c := w.clientOf(w.srv.URL()+"/a", secrets...).connect()
		r := w.conn().Request()
		assert.Equal(t, "/d", r.URL.Path, "three are followed")
		assert.Equal(t, "secret", r.Header.Get("X-Token"), "on one host the header goes along")
		c.close()

		w.srv.Answer(to("/1"), to("/2"), to("/3"), to("/4"))
		err := w.clientOf(w.srv.URL()+"/?token=secret", secrets...).Connect(t.Context())
		assert.EqualError(t, err, "wechatws: handshake server.test:80: stopped after 3 redirects")
	})
}

func TestTLS(t *testing.T) {
	s := wstest.NewServer(wstest.WithTLS())
	defer s.Close()

	c, err := wechatws.New(s.URL(), wechatws.WithProxy(nil), wechatws.WithTLSConfig(s.ClientTLS()))
	require.NoError(t, err)
	w := watch(t, c).record().connect()
	conn, err := s.NextConn(t.Context())
	require.NoError(t, err)
	w.send("over TLS")
	m, err := conn.Receive(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "over TLS", m.Text())
	w.close()
	assert.Positive(t, w.opens[0].Timings.TLS)

	c, err = wechatws.New(s.URL()+"?token=secret", wechatws.WithProxy(nil), wechatws.WithTLSConfig(&tls.Config{ServerName: "localhost"}))
	require.NoError(t, err)
	err = c.Connect(t.Context()) // permanent before the first open
	var de *wechatws.DialError
	require.ErrorAs(t, err, &de)
	assert.Equal(t, "tls", de.Phase)
	assert.NotContains(t, err.Error(), "secret")

	s.Answer(wstest.Status(302, http.Header{"Location": {"http://" + s.Addr()}}, ""))
	c, err = wechatws.New(s.URL(), wechatws.WithProxy(nil), wechatws.WithTLSConfig(s.ClientTLS()), wechatws.WithoutReconnect())
	require.NoError(t, err)
	assert.ErrorContains(t, c.Connect(t.Context()), "redirect from TLS to plain text refused")
}

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

// An address that does not answer gets its share of the dial timeout, and the next address
// the rest.
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
					options = append(options, w.tunnel(false).option())
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
