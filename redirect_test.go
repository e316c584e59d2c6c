package wechatws_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func to(location string) wstest.Answer {
	return wstest.Status(307, http.Header{"Location": {location}}, "")
}

// another starts a server for another host, which ends with the test.
func (w *world) another(addr string) *wstest.Server {
	s := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr(addr))
	w.Cleanup(s.Close)
	return s
}

// Another host is connected to only if the program asks for it. Then nothing that is meant for the
// configured host follows, also if the other host sends the client back.
func TestCrossHostRedirects(t *testing.T) {
	for name, d := range dialers {
		for _, back := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/back %t", name, back), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					other := w.another("other.test:8080")
					w.srv.Answer(wstest.Status(307, http.Header{"Location": {"http://other.test:8080/b?c=d"}, "Set-Cookie": {"own=s3cret-cookie; Path=/"}}, ""))
					end, url := other, "ws://other.test:8080"
					if back {
						other.Answer(to("http://server.test:80/back"))
						end, url = w.srv, "ws://server.test:80"
					}
					jar, err := cookiejar.New(nil)
					require.NoError(t, err)
					c := w.clientOf("ws://s3cret-user:s3cret-password@server.test:80/?token=s3cret-query", over(d,
						wechatws.WithCrossHostRedirects(), wechatws.WithCookieJar(jar), wechatws.WithoutReconnect(),
						wechatws.WithHeader(http.Header{"x-Token": {"s3cret-token"}, "Authorization": {"s3cret-auth"}, "cookie": {"s3cret=1"}, "Host": {"canary.test"}, "User-Agent": {"s3cret-agent"}}),
						wechatws.WithTrace(wechatws.Trace{DialStart: func(ctx context.Context, i wechatws.DialInfo) context.Context {
							i.Header.Set("Traceparent", "s3cret-trace")
							return ctx
						}}),
						wechatws.WithSubprotocols("s3cret-protocol"), wechatws.WithLoginMessage("s3cret-login"))...)
					c.send("queued")
					c.connect()
					w.sleep(0)
					conn, err := end.NextConn(t.Context())
					require.NoError(t, err)
					assert.Equal(t, []string{"queued"}, received(conn), "without a login")
					assert.Equal(t, url, c.opens[0].URL)
					requests := other.Handshakes()
					if back {
						requests = append(requests, conn.Request())
						assert.Equal(t, "own=s3cret-cookie", conn.Request().Header.Get("Cookie"), "the jar's, for this host")
						conn.Request().Header.Del("Cookie")
					}
					for _, r := range requests {
						assert.NotEqual(t, "canary.test", r.Host)
						assert.NotContains(t, fmt.Sprint(r.Header), "s3cret", "%s", r.URL)
					}
					c.close()
				})
			})
		}
	}
}

// The other host is not offered a subprotocol, and may not choose one.
func TestAnotherHostChoosesASubprotocol(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				other := w.another("other.test:80")
				other.AnswerAlways(wstest.Accept(wstest.WithHeader(http.Header{"Sec-Websocket-Protocol": {"v1"}})))
				w.srv.AnswerAlways(to("//other.test:80/"))
				c := w.client(over(d, wechatws.WithCrossHostRedirects(), wechatws.WithSubprotocols("v1"), wechatws.WithoutReconnect())...)
				err := c.Connect(t.Context())
				assert.EqualError(t, err, "wechatws: handshake other.test:80: server answered 101 Switching Protocols: a subprotocol was chosen, and none was offered to this host")
				assert.Zero(t, w.net.Clients())
			})
		})
	}
}

// A redirect to the same host, often from http to https or to a path with a slash, keeps the
// credentials of the URL, and a Referer of the program.
func TestARedirectToTheSameHostKeepsTheCredentials(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
				defer secure.Close()
				for status, location := range map[int]string{
					301: "http://server.test/b/", 302: "/b/", 303: "ws://server.test:80/b/", 307: "//server.test/b/", 308: "https://server.test/b/",
				} {
					end := w.srv
					if status == 308 {
						end = secure
					}
					w.srv.Answer(wstest.Status(status, http.Header{"Location": {location}}, ""))
					c := w.clientOf("ws://user:pass@server.test/b?c=d", over(d, wechatws.WithTLSConfig(secure.ClientTLS()), wechatws.WithoutReconnect(),
						wechatws.WithHeader(http.Header{"referer": {"mine"}}))...).connect()
					requests := end.Handshakes()
					r := requests[len(requests)-1]
					assert.Equal(t, "/b/", r.URL.Path)
					user, password, _ := r.BasicAuth()
					assert.Equal(t, "user:pass", user+":"+password, location)
					assert.Equal(t, "mine", r.Header.Get("Referer"))
					c.close()
				}
				w.srv.Answer(to("http://other:pw@server.test/b"))
				c := w.clientOf("ws://user:pass@server.test/", over(d, wechatws.WithoutReconnect())...).connect()
				requests := w.srv.Handshakes()
				user, _, _ := requests[len(requests)-1].BasicAuth()
				assert.Equal(t, "other", user)
				assert.Empty(t, requests[len(requests)-1].Header.Get("Referer"), "it would be the last URL")
				c.close()
			})
		})
	}
}

// A server composes a Location freely: it may repeat a part of the request.
func TestARedirectToAnInvalidURL(t *testing.T) {
	for name, d := range dialers {
		for _, location := range []string{"http://[s3cret/", "/%zz?token=s3cret", "http://a b/s3cret"} {
			t.Run(name+"/"+location, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.Answer(to(location))
					err := w.client(over(d, wechatws.WithoutReconnect())...).Connect(t.Context())
					require.ErrorContains(t, err, "wechatws: handshake server.test:80: ")
					assert.ErrorContains(t, err, "redirect to an invalid URL")
					assert.NotContains(t, err.Error(), "s3cret")
					assert.Zero(t, w.net.Clients())
				})
			})
		}
	}
}

// An error names the host that it is about.
func TestAFailureAfterARedirectNamesTheOtherHost(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		other := w.another("other.test:80")
		other.AnswerAlways(wstest.Status(503, nil, ""))
		w.srv.Answer(to("//other.test:80/"), to("ws://nowhere.test/"))
		c := w.client(wechatws.WithCrossHostRedirects(), wechatws.WithoutReconnect())
		assert.EqualError(t, c.Connect(t.Context()), "wechatws: handshake other.test:80: server answered 503 Service Unavailable")
		err := c.Connect(t.Context())
		var de *wechatws.DialError
		require.ErrorAs(t, err, &de)
		assert.Equal(t, "nowhere.test:80", de.Addr)
		assert.Equal(t, "connect", de.Phase)
	})
}

// Without redirects the URL is the endpoint's.
func TestAnOpenEventHasTheHost(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(to("/b?token=s3cret"), wstest.Accept(), to("/b"))
		for range 2 {
			c := w.clientOf("ws://user:s3cret@server.test:80/path?token=s3cret", quiet()...).connect()
			w.sleep(0)
			assert.Equal(t, "ws://server.test:80", c.opens[0].URL)
			c.close()
		}
	})
}
