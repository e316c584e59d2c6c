package wechatws_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
)

// A client, and other values with an address or a secret, can be printed.
func TestAPrintedClientShowsHostAndState(t *testing.T) {
	const address = "ws://s3cret-user:s3cret-password@server.test:80/s3cret-path?token=s3cret-query"
	header := http.Header{"Authorization": {"Bearer s3cret-header"}}
	printed := func(v any) (texts []string) {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			texts = append(texts, fmt.Sprintf(format, v))
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("made", "it", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "it", v)
		return append(texts, strings.Split(strings.TrimSpace(log.String()), "\n")...)
	}
	check := func(t *testing.T, v any, want ...string) {
		t.Helper()
		for _, text := range printed(v) {
			assert.NotContains(t, text, "s3cret")
			for _, w := range want {
				assert.Contains(t, text, w)
			}
		}
	}
	virtual(t, func(t *testing.T, w *world) {
		options := []wechatws.Option{wechatws.WithHeader(header), wechatws.WithSubprotocols("bearer", "s3cret-sub"), wechatws.WithLoginMessage("s3cret-login")}
		c := w.clientOf(address, options...)
		check(t, c.Client, "server.test:80", "idle")
		assert.Equal(t, "client of server.test:80, idle", fmt.Sprint(c.Client))
		c.connect()
		check(t, c.Client, "server.test:80", "open")
		c.close()
		check(t, c.Client, "server.test:80", "closed")

		c = w.clientOf("", append(options, wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			return wechatws.Endpoint{URL: address, Header: header}, nil
		}))...)
		check(t, c.Client, "idle")
		c.connect()
		check(t, c.Client, "server.test:80", "open")
		c.close()

		check(t, wechatws.Endpoint{URL: address, Header: header}, "ws://server.test:80")
		check(t, &wechatws.Endpoint{URL: address, Header: header}, "ws://server.test:80")
		check(t, wechatws.Endpoint{URL: "ws://s3cret-user:s3cret password@server.test"}, "not shown")
		check(t, transport.Handshake{URL: address, Header: header, Subprotocols: []string{"s3cret-sub"}}, "ws://server.test:80")
	})
	var none *wechatws.Client
	assert.NotPanics(t, func() { printed(none) })
}

// A value that New refuses may have a secret in any place.
func TestNewsErrorsShowHostsOnly(t *testing.T) {
	for _, address := range []string{
		"ws://user:s3cret/password@server.test/", // the slash ends the host, and what is before it is no port
		"http//server.test/ws/s3cret",
		"ftp://server.test/ws/s3cret",
		"ws:///s3cret",
		"ws://server.test/s3cret#part",
		"ws://server.test/%s3cret",
		"ws://server.test/?a=\x1b[s3cret",
	} {
		_, err := wechatws.New(address)
		require.Error(t, err, address)
		assert.NotContains(t, err.Error(), "s3cret")
	}
	_, err := wechatws.New("ws://server.test", wechatws.WithSubprotocols("bearer", "s3cret==sub"))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
}
