package wechatws_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"log/slog"
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

// A transcript is everything that a client reports: its errors with all that they wrap, and its
// log.
type transcript struct {
	*client
	log *bytes.Buffer
}

func (w *world) transcript(address string, options ...wechatws.Option) *transcript {
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &transcript{w.clientOf(address, append(options, wechatws.WithLogger(logger))...), &log}
}

// texts returns everything reported up to now, and the texts of more errors.
func (c *transcript) texts(more ...error) (texts []string) {
	errs := append(c.errors(), append(more, c.Stats().LastError)...)
	c.mu.Lock()
	for _, e := range c.changes {
		errs = append(errs, e.Err)
	}
	for _, e := range c.closes {
		errs = append(errs, e.Err)
	}
	c.mu.Unlock()
	for len(errs) > 0 {
		err := errs[0]
		errs = errs[1:]
		if err == nil {
			continue
		}
		texts = append(texts, err.Error(), fmt.Sprintf("%+v", err))
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			errs = append(errs, joined.Unwrap()...)
		}
		errs = append(errs, errors.Unwrap(err))
	}
	return append(texts, strings.Split(c.log.String(), "\n")...)
}

// A server's page may repeat a secret in any form.
func TestAServersPageStaysInItsField(t *testing.T) {
	const secret = "s3cret+to/ken"
	basic := base64.StdEncoding.EncodeToString([]byte("user:" + secret))
	for name, tt := range map[string]struct {
		page    string
		address string
		options []wechatws.Option
	}{
		"the token without its scheme": {page: "invalid token " + secret,
			options: []wechatws.Option{wechatws.WithHeader(http.Header{"Authorization": {"Bearer " + secret}})}},
		"one cookie of several": {page: "session " + secret + " has expired",
			options: []wechatws.Option{wechatws.WithHeader(http.Header{"Cookie": {"lang=zh; session=" + secret}})}},
		"user info, encoded":    {page: "Basic " + basic, address: "ws://user:" + url.QueryEscape(secret) + "@server.test:80/"},
		"a parameter, escaped":  {page: "no " + url.QueryEscape(secret), address: "ws://server.test:80/?a=1&token=" + url.QueryEscape(secret)},
		"lower-case escapes":    {page: strings.ToLower(url.QueryEscape(secret)), address: "ws://server.test:80/?a=1&token=" + url.QueryEscape(secret)},
		"upper case":            {page: strings.ToUpper(secret), address: "ws://server.test:80/?token=" + url.QueryEscape(secret)},
		"HTML":                  {page: html.EscapeString(secret + "&"), address: "ws://server.test:80/?token=" + url.QueryEscape(secret+"&")},
		"behind a long text":    {page: strings.Repeat("x", 95) + secret, address: "ws://server.test:80/?token=" + url.QueryEscape(secret)},
		"a subprotocol":         {page: "bearer, s3cret-sub", options: []wechatws.Option{wechatws.WithSubprotocols("bearer", "s3cret-sub")}},
		"the path":              {page: "/ws/s3cret-path", address: "ws://server.test:80/ws/s3cret-path"},
		"what nobody has given": {page: "your new password is s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(wstest.Status(403, nil, tt.page))
				if tt.address == "" {
					tt.address = w.srv.URL()
				}
				c := w.transcript(tt.address, tt.options...)
				err := c.Connect(t.Context())
				w.sleep(0)
				assert.EqualError(t, err, "wechatws: handshake server.test:80: server answered 403 Forbidden")
				for _, text := range c.texts(err) {
					for _, s := range []string{"s3cret", "S3CRET", basic} {
						assert.NotContains(t, text, s)
					}
				}
				var he *wechatws.HandshakeError
				require.ErrorAs(t, err, &he)
				assert.Equal(t, tt.page, string(he.Body))
			})
		})
	}
}

func TestACloseReasonStaysInItsField(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const reason = "invalid token s3cret-login"
		c := w.transcript(w.srv.URL(), wechatws.WithLoginMessage("s3cret-login"))
		c.connect()
		defer c.close()
		require.NoError(t, w.conn().Close(4001, reason))
		w.sleep(time.Second)
		e := c.lastClose()
		assert.EqualError(t, e.Err, "wechatws: peer closed the connection: close code 4001")
		assert.Equal(t, reason, e.Reason)
		var ce *wechatws.CloseError
		require.ErrorAs(t, e.Err, &ce)
		assert.Equal(t, reason, ce.Reason)
		for _, text := range c.texts() {
			assert.NotContains(t, text, "s3cret")
		}
	})
}

// A proxy for ws answers in the server's place, and its page may repeat its password.
func TestAProxysPageStaysInItsField(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
			return wstest.Status(407, nil, r.Header.Get("Proxy-Authorization"))
		})
		proxy := &url.URL{Scheme: "http", Host: "server.test:80", User: url.UserPassword("user", "s3cret")}
		c := w.transcript("ws://behind.test/", wechatws.WithProxy(http.ProxyURL(proxy)))
		err := c.Connect(t.Context())
		w.sleep(0)
		require.EqualError(t, err, "wechatws: handshake behind.test:80: server answered 407 Proxy Authentication Required")
		for _, text := range c.texts(err) {
			assert.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("user:s3cret")))
		}
	})
}
