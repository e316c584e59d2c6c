package wechatws_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// refusing starts a proxy that gives each request the same answer, and leaves the connection open.
func (w *world) refusing(answer string) wechatws.Option {
	w.Helper()
	l, err := w.net.Listen("proxy.test:3128")
	require.NoError(w, err)
	w.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				defer c.Close()
				_, _ = io.WriteString(c, answer)
				_, _ = io.Copy(io.Discard, c)
			}(c)
		}
	}()
	return wechatws.WithProxy(http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test:3128"}))
}

// The server's texts are in errors and in the log with WithServerText, and never without.
func TestServerTextIsShownOnRequest(t *testing.T) {
	const page = "no \x1b[2J\u202e\r\nplace"
	const shown = `"no \x1b[2J\u202e\r\nplace"`
	for name, tt := range map[string]struct {
		fault func(w *world) []wechatws.Option
		want  string
	}{
		"a page": {func(w *world) []wechatws.Option {
			w.srv.AnswerAlways(wstest.Status(503, nil, page))
			return nil
		}, "handshake server.test:80: server answered 503 Service Unavailable"},
		"a page without end": {func(w *world) []wechatws.Option {
			w.srv.AnswerAlways(wstest.Raw("HTTP/1.1 503 Service Unavailable\r\n\r\n" + page))
			return []wechatws.Option{wechatws.WithDialTimeout(2 * time.Second)}
		}, "handshake server.test:80: server answered 503 Service Unavailable"},
		"a proxy's page": {func(w *world) []wechatws.Option {
			return []wechatws.Option{w.refusing(fmt.Sprintf("HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n%s", len(page), page))}
		}, "proxy server.test:80: proxy answered 502 Bad Gateway"},
		"a proxy's page without end": {func(w *world) []wechatws.Option {
			return []wechatws.Option{w.refusing("HTTP/1.1 502 Bad Gateway\r\n\r\n" + page)}
		}, "proxy server.test:80: proxy answered 502 Bad Gateway"},
		"a close reason": {func(w *world) []wechatws.Option {
			w.srv.OnConn(func(c *wstest.Conn) { go c.Close(4001, page) })
			return nil
		}, "peer closed the connection: close code 4001"},
	} {
		for _, show := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/", show), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					var log bytes.Buffer
					options := append(tt.fault(w), wechatws.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
					want := "wechatws: " + tt.want
					if show {
						options = append(options, wechatws.WithServerText())
						want += ": " + shown
					}
					c := w.client(options...)
					go func() { _ = c.Connect(t.Context()) }()
					w.sleep(2900 * time.Millisecond)
					assert.EqualError(t, c.Stats().LastError, want)
					require.NoError(t, c.CloseNow())
					w.sleep(0)
					assert.Equal(t, show, strings.Contains(log.String(), `place`), log.String())
					for _, e := range c.closes {
						text, object := inLogs(e)
						for _, shown := range []string{fmt.Sprint(e), text, object} {
							assert.Equal(t, show, strings.Contains(shown, "place"), shown)
							assert.NotContains(t, shown, "\x1b")
							assert.NotContains(t, shown, "\u202e")
						}
					}
				})
			})
		}
	}
}

// What is shown is cut, and without those secrets that stand in it unchanged.
func TestServerTextIsCutAndRedacted(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
			return wstest.Status(403, nil, "bad token "+r.Header.Get("X-Token")+strings.Repeat(" no", 1000))
		})
		err := w.client(wechatws.WithServerText(), wechatws.WithHeader(http.Header{"X-Token": {"s3cret"}})).Connect(t.Context())
		want := "bad token [redacted]" + strings.Repeat(" no", 60) + "…"
		require.ErrorContains(t, err, `: "`+want+`"`)
		var he *wechatws.HandshakeError
		require.True(t, errors.As(err, &he))
		assert.Len(t, he.Body, 1<<10)
	})
}

// A page that differs each time, such as one with a number of the request, is the same failure.
func TestServerTextDoesNotLengthenTheLog(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		n := 0
		w.srv.AnswerFunc(func(*http.Request) wstest.Answer {
			n++
			return wstest.Status(503, nil, fmt.Sprint("request ", n))
		})
		var log bytes.Buffer
		c := w.client(wechatws.WithServerText(), wechatws.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(50 * time.Second) // 17 attempts
		assert.Equal(t, 17, n)
		assert.Equal(t, 5, strings.Count(log.String(), "attempt failed"), log.String())
		assert.Contains(t, log.String(), "request 16")
		require.NoError(t, c.CloseNow())
	})
}
