package wechatws_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// dialers are the implementations of WebSocket; nil is the default one.
var dialers = map[string]transport.Dialer{"default": nil, "coder": coder.Dialer{}, "nhooyr": nhooyr.Dialer{}}

// over returns the options that choose a Dialer, in addition to others.
func over(d transport.Dialer, options ...wechatws.Option) []wechatws.Option {
	if d != nil {
		options = append(options, wechatws.WithDialer(d))
	}
	return append(options, quiet()...)
}

// givenUp is the error of a server that is offered no compression any more.
const givenUp = "wechatws: peer breaks the WebSocket protocol: server compresses wrongly, going on without compression"

// A server whose answer to the offer of compression cannot be used gets no offer from then on.
func TestAWrongAnswerToTheOfferOfCompressionIsGivenUp(t *testing.T) {
	for name, d := range dialers {
		for _, answer := range []string{
			"permessage-deflate; client_max_window_bits=15", "permessage-deflate; unknown", "permessage-deflate; Server_No_Context_Takeover", "x-webkit-deflate-frame",
		} {
			t.Run(name+"/"+answer, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
						if r.Header.Get("Sec-WebSocket-Extensions") == "" {
							return wstest.Accept()
						}
						return wstest.Accept(wstest.WithHeader(http.Header{"Sec-Websocket-Extensions": {answer}}))
					})
					c := w.client(over(d, wechatws.WithCompression())...).connect()
					require.Equal(t, 3*time.Second, w.since(), "the second attempt")
					w.sleep(0)
					errs := c.errors()
					require.Len(t, errs, 2)
					var he *wechatws.HandshakeError
					require.ErrorAs(t, errs[0], &he)
					assert.Equal(t, http.StatusSwitchingProtocols, he.Status)
					require.ErrorIs(t, errs[0], wechatws.ErrProtocol)
					assert.EqualError(t, errs[1], givenUp)
					c.close()
					c.connect() // it is remembered
					assert.Len(t, w.srv.Handshakes(), 3)
					c.close()
				})
			})
		}
	}
}

// Without an offer there is nothing to give up, and a 101 that is invalid for another reason says
// nothing about compression.
func TestOtherWrongAnswersAreNotAboutCompression(t *testing.T) {
	deflate := http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}}
	for name, tt := range map[string]struct {
		options []wechatws.Option
		answer  wstest.Answer
	}{
		"not offered":         {nil, wstest.Accept(wstest.WithHeader(deflate))},
		"for another reason":  {[]wechatws.Option{wechatws.WithCompression()}, badUpgrade()},
		"no upgrade":          {[]wechatws.Option{wechatws.WithCompression()}, wstest.Status(200, deflate, "")},
		"an unasked protocol": {[]wechatws.Option{wechatws.WithCompression()}, wstest.Accept(wstest.WithHeader(http.Header{"Sec-Websocket-Protocol": {"x"}}))},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(tt.answer)
				err := w.client(append(tt.options, wechatws.WithoutReconnect())...).Connect(t.Context())
				require.Error(t, err)
				assert.NotErrorIs(t, err, wechatws.ErrProtocol)
			})
		})
	}
}

// rawRequests starts a server on the world's network that accepts every handshake, and the
// subprotocol offered, and returns a function for the lines of the requests that it has read.
func (w *world) rawRequests(addr string) (requests func() [][]string) {
	w.Helper()
	l, err := w.net.Listen(addr)
	require.NoError(w, err)
	w.Cleanup(func() { l.Close() })
	got := make(chan []string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var lines []string
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if line == "\r\n" {
						break
					}
					lines = append(lines, strings.TrimSuffix(line, "\r\n"))
				}
				digest := sha1.Sum([]byte(valueOf(lines, "Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
				got <- lines
				_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
					base64.StdEncoding.EncodeToString(digest[:]))
				if offered := valueOf(lines, "Sec-WebSocket-Protocol"); offered != "" {
					_, _ = fmt.Fprintf(c, "Sec-WebSocket-Protocol: %s\r\n", offered)
				}
				_, _ = io.WriteString(c, "\r\n")
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return func() (all [][]string) {
		for len(got) > 0 {
			all = append(all, <-got)
		}
		return all
	}
}

// valueOf returns the value of the header with exactly this name.
func valueOf(lines []string, name string) string {
	for _, line := range lines {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value
		}
	}
	return ""
}

// Servers that compare names byte by byte find each name as it was given, and those of the
// handshake as RFC 6455 has them.
func TestHeaderNamesAreSentAsTheyWereGiven(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				requests := w.rawRequests("raw.test:80")
				c := w.clientOf("", over(d, wechatws.WithoutReconnect(), wechatws.WithCompression(), wechatws.WithSubprotocols("v1"),
					wechatws.WithHeader(http.Header{"appId": {"1"}, "replaced": {"no"}, "X-TOKEN": {"a", "b"}, "user-agent": {"bot"}, "accept-encoding": {"br"}}),
					wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
						return wechatws.Endpoint{URL: "ws://raw.test/", Header: http.Header{"RePlaced": {"yes"}}}, nil
					}))...)
				c.connect()
				lines := requests()[0]
				for _, line := range []string{"appId: 1", "RePlaced: yes", "X-TOKEN: a", "X-TOKEN: b", "User-Agent: bot", "Accept-Encoding: br", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: v1"} {
					assert.Contains(t, lines, line)
				}
				assert.Len(t, valueOf(lines, "Sec-WebSocket-Key"), 24)
				assert.Contains(t, valueOf(lines, "Sec-WebSocket-Extensions"), "permessage-deflate")
				names := map[string]bool{}
				for _, line := range lines[1:] {
					name, _, _ := strings.Cut(line, ":")
					assert.False(t, names[name] && name != "X-TOKEN", "%s is sent twice", name)
					names[name] = true
					assert.False(t, slices.Contains([]string{"Appid", "X-Token", "Replaced", "replaced"}, name), name)
				}
				c.close()
			})
		})
	}
}

// A Host in the header is what the server receives; the connection and the certificate are those
// of the URL.
func TestHostHeader(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.Answer(wstest.Status(302, http.Header{"Location": {"/b"}}, ""))
				c := w.client(over(d, wechatws.WithHeader(http.Header{"host": {"public.example:8080"}}))...).connect()
				for _, r := range w.srv.Handshakes() {
					assert.Equal(t, "public.example:8080", r.Host)
				}
				assert.Len(t, w.srv.Handshakes(), 2, "a redirect to the same host has it too")
				assert.Equal(t, "server.test:80", w.net.Dials()[0].Addr)
				c.close()
			})
		})
	}
}

// A standard port is not part of the Host: some servers compare it with their name, or sign it.
func TestTheHostHasNoStandardPort(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
				defer secure.Close()
				w.srv.Answer(wstest.Status(302, http.Header{"Location": {"http://server.test:80/b"}}, ""))
				for _, s := range []*wstest.Server{w.srv, secure, w.another("server.test:8080"), w.another("[::1]:80")} {
					want := strings.TrimSuffix(strings.TrimSuffix(s.Addr(), ":80"), ":443")
					c := w.clientOf(s.URL(), over(d, wechatws.WithTLSConfig(secure.ClientTLS()), wechatws.WithoutReconnect())...).connect()
					for _, r := range s.Handshakes() {
						assert.Equal(t, want, r.Host)
					}
					c.close()
				}
			})
		})
	}
}

// A URL may be written as in the address bar of a browser, and so may a Location.
func TestTheQueryIsEscaped(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				requests := w.rawRequests("raw.test:80")
				for query, sent := range map[string]string{
					"name=张三 a":           "name=%E5%BC%A0%E4%B8%89%20a",
					"a=\"<b>\"&c=\xff":    `a=%22%3Cb%3E%22&c=%FF`,
					"a=%20%E5&b=1+2;c=/?": "a=%20%E5&b=1+2;c=/?", // as it is
				} {
					c := w.clientOf("ws://raw.test/房间 1?"+query, over(d, wechatws.WithoutReconnect())...).connect()
					assert.Equal(t, "GET /%E6%88%BF%E9%97%B4%201?"+sent+" HTTP/1.1", requests()[0][0])
					c.close()
				}
				w.srv.Answer(wstest.Status(302, http.Header{"Location": {"/?name=张 三"}}, ""))
				c := w.client(over(d, wechatws.WithoutReconnect())...).connect()
				w.sleep(0)
				assert.Equal(t, "name=%E5%BC%A0%20%E4%B8%89", w.conn().Request().URL.RawQuery)
				c.close()
			})
		})
	}
}

// A server must select a subprotocol if some were offered, and one of these, as in browsers.
func TestAServerMustSelectASubprotocol(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				another := wstest.Accept(wstest.WithHeader(http.Header{"Sec-Websocket-Protocol": {"v3"}}))
				w.srv.Answer(wstest.Accept(), another, wstest.Accept(wstest.WithSubprotocols("v1")))
				c := w.client(over(d, wechatws.WithSubprotocols("v2", "v1"))...).connect()
				require.Equal(t, 6*time.Second, w.since(), "the third attempt")
				w.sleep(0)
				require.Len(t, c.errors(), 2)
				assert.EqualError(t, c.errors()[0], "wechatws: handshake server.test:80: server answered 101 Switching Protocols: "+
					"none of the subprotocols offered was selected; give WithSubprotocols one that the server supports, or leave the option out")
				assert.ErrorContains(t, c.errors()[1], "server answered 101 Switching Protocols: ")
				assert.Equal(t, "v1", c.opens[0].Subprotocol)
				assert.Equal(t, 1, w.net.Clients())
				c.close()
			})
		})
	}
}

// A load balancer binds a client to a server, and a gateway answers with a redirect to itself until
// it receives its cookie.
func TestCookieJar(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
					if _, err := r.Cookie("passed"); err != nil {
						return wstest.Status(302, http.Header{"Location": {"/"}, "Set-Cookie": {"passed=1"}}, "")
					}
					return wstest.Accept(wstest.WithHeader(http.Header{"Set-Cookie": {"server=7"}}))
				})
				jar, err := cookiejar.New(nil)
				require.NoError(t, err)
				c := w.client(over(d, wechatws.WithCookieJar(jar), wechatws.WithHeader(http.Header{"cookie": {"own=x"}}))...).connect()
				require.NoError(t, c.Reconnect())
				w.sleep(0)
				requests := w.srv.Handshakes()
				require.Len(t, requests, 3)
				assert.Equal(t, []string{"own=x"}, requests[0].Header.Values("Cookie"))
				assert.Equal(t, []string{"own=x; passed=1"}, requests[1].Header.Values("Cookie"))
				assert.Equal(t, []string{"own=x; passed=1; server=7"}, requests[2].Header.Values("Cookie"))
				c.close()
			})
		})
	}
}

// Cookies of the jar, and credentials made of the URL's user info, are secrets too.
func TestAddedSecretsAreRedactedInEchoes(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
			cookie, err := r.Cookie("session")
			if err != nil {
				return wstest.Status(302, http.Header{"Location": {"/"}, "Set-Cookie": {"session=s3cret-session; Path=/"}}, "")
			}
			return wstest.Raw("no:" + r.Header.Get("Authorization") + ":" + cookie.Value + "\r\n\r\n")
		})
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		err = w.clientOf("ws://user1:s3cret-password@server.test:80/", wechatws.WithoutReconnect(), wechatws.WithCookieJar(jar)).Connect(t.Context())
		assert.ErrorContains(t, err, `malformed HTTP status code "[redacted]:[redacted]"`)
	})
}

// A wss URL of a server without TLS, and the other way round, is a mistake in the URL.
func TestTheWrongSchemeIsPermanent(t *testing.T) {
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
				defer secure.Close()
				l, err := w.net.Listen("alert.test:80")
				require.NoError(t, err)
				defer l.Close()
				go func() { // a server whose library of TLS sends an alert
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					if _, err = http.ReadRequest(bufio.NewReader(c)); err == nil {
						_, _ = io.WriteString(c, "\x15\x03\x01\x00\x02\x02\x46") // protocol_version
					}
				}()
				for url, want := range map[string]string{
					"ws://alert.test:80":   "wechatws: handshake alert.test:80: server uses TLS: the scheme of the URL must be wss",
					"wss://server.test:80": "wechatws: tls server.test:80: server does not use TLS: the scheme of the URL must be ws",
					"ws://server.test:443": "wechatws: handshake server.test:443: server answered 400 Bad Request: server uses TLS: the scheme of the URL must be wss",
				} {
					c := w.clientOf(url, over(d, wechatws.WithTLSConfig(secure.ClientTLS()))...)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					err := c.Connect(ctx)
					cancel()
					assert.EqualError(t, err, want)
					assert.ErrorIs(t, err, http.ErrSchemeMismatch)
					assert.Equal(t, wechatws.StateFailed, c.State())
				}
			})
		})
	}
}

// What servers answer to plain HTTP on their TLS port: an alert of TLS, or a page.
func TestPlainHTTPToATLSPort(t *testing.T) {
	const want = "server uses TLS: the scheme of the URL must be wss"
	page := func(text string) string {
		return fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
	for name, answer := range map[string]string{
		"protocol_version":   "\x15\x03\x01\x00\x02\x02\x46",
		"record_overflow":    "\x15\x03\x03\x00\x02\x02\x16",
		"unexpected_message": "\x15\x03\x01\x00\x02\x02\x0a",
		"Apache":             page("Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />"),
		"nginx":              page("<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head>"),
		"Tomcat":             page("Bad Request\r\nThis combination of host and port requires TLS.\r\n"),
	} {
		for dialer, d := range dialers {
			t.Run(name+"/"+dialer, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				defer l.Close()
				go func() {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					_, _ = http.ReadRequest(bufio.NewReader(c))
					_, _ = io.WriteString(c, answer)
				}()
				c, err := wechatws.New("ws://"+l.Addr().String(), over(d, wechatws.WithProxy(nil))...)
				require.NoError(t, err)
				err = c.Connect(t.Context())
				assert.ErrorContains(t, err, want)
				assert.ErrorIs(t, err, http.ErrSchemeMismatch)
				assert.Equal(t, 1, c.Stats().Attempts)
			})
		}
	}
}

// Once the client has been open, it is a server that is being set up again.
func TestTheWrongSchemeAfterTheFirstOpenIsTemporary(t *testing.T) {
	assert.True(t, wechatws.DefaultRetryIf(wechatws.Failure{Err: http.ErrSchemeMismatch, Opened: true}))
	assert.False(t, wechatws.DefaultRetryIf(wechatws.Failure{Err: http.ErrSchemeMismatch}))
}

// Roots and client certificates that change are used from the next attempt on.
func TestTLSOfAnAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		srv := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
		defer srv.Close()
		renewed := srv.ClientTLS()
		endpoint := wechatws.Endpoint{URL: srv.URL()}
		c := w.clientOf("", wechatws.WithTLSConfig(&tls.Config{RootCAs: x509.NewCertPool()}), wechatws.WithRetryIf(func(wechatws.Failure) bool { return true }),
			wechatws.WithEndpoint(func(_ context.Context, attempt int, _ error) (wechatws.Endpoint, error) {
				switch attempt {
				case 2:
					endpoint.TLS = &tls.Config{VerifyConnection: func(tls.ConnectionState) error { panic("verify") }, InsecureSkipVerify: true}
				case 3:
					endpoint.TLS = renewed
				}
				return endpoint, nil
			}))
		c.connect()
		w.sleep(0)
		require.Len(t, c.errors(), 2)
		assert.ErrorContains(t, c.errors()[0], "unknown authority", "the configuration of the option")
		var panicked *wechatws.PanicError
		assert.ErrorAs(t, c.errors()[1], &panicked)
		assert.Empty(t, renewed.NextProtos, "the program's configuration is not changed")
		c.close()
	})
}
