package wechatws_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// The result of an endpoint function is checked like the arguments of New. A wrong one is
// retried: the next endpoint may be right.
func TestAnEndpointThatCannotBe(t *testing.T) {
	for want, endpoint := range map[string]wechatws.Endpoint{
		`url(""): scheme must be ws or wss (http and https are taken as those)`:                 {},
		`url("ws://h:99999"): port must be from 1 to 65535`:                                     {URL: "ws://h:99999/?secret"},
		`Endpoint.Header(x-token): X-Token is the same name, give it once`:                      {URL: "ws://h", Header: http.Header{"X-Token": {"secret"}, "x-token": {"secret"}}},
		`Endpoint.Header(X-Token): a value must be one line without control characters`:         {URL: "ws://h", Header: http.Header{"X-Token": {"secret\r\nX: y"}}},
		`Endpoint.Header("X…"): the name of a header must be an HTTP token such as "X-Room"`:    {URL: "ws://h", Header: http.Header{"X: secret": {"secret"}}},
		`Endpoint.Header(Upgrade): this header belongs to the handshake`:                        {URL: "ws://h", Header: http.Header{"Upgrade": {"h2c"}}},
		`Endpoint.Header(Host): the host is the URL's; WithNetDial connects to another address`: {URL: "ws://h", Header: http.Header{"Host": {"other"}}},
		`Endpoint.Header(sec-websocket-protocol): use WithSubprotocols`:                         {URL: "ws://h", Header: http.Header{"sec-websocket-protocol": {"v1"}}},
	} {
		virtual(t, func(t *testing.T, w *world) {
			asked := 0
			c := w.clientOf("", append(quiet(), wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
				if asked++; asked == 1 {
					return endpoint, nil
				}
				return wechatws.Endpoint{URL: w.srv.URL()}, nil
			}))...)
			var failed []error
			c.OnError(func(_ context.Context, err error) { failed = append(failed, err) })
			c.connect()
			w.sleep(0)
			require.Len(t, failed, 1)
			assert.EqualError(t, failed[0], "wechatws: endpoint: "+want)
			var de *wechatws.DialError
			require.ErrorAs(t, failed[0], &de)
			assert.Equal(t, "endpoint", de.Phase)
			var oe *wechatws.OptionError
			require.ErrorAs(t, failed[0], &oe)
			assert.Equal(t, 2, asked)
			c.close()
		})
	}
}

// The headers that New takes are those that net/http can send.
func TestHeadersAreThoseThatCanBeSent(t *testing.T) {
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }}
	for c := range 256 {
		for _, h := range []http.Header{{"X-" + string([]byte{byte(c)}): {"x"}}, {"X-Token": {"a" + string([]byte{byte(c)}) + "b"}}} {
			_, err := transport.RoundTrip(&http.Request{URL: &url.URL{Scheme: "http", Host: "h"}, Header: h})
			sendable := errors.Is(err, io.EOF)
			_, err = wechatws.New("ws://h", wechatws.WithHeader(h))
			assert.Equal(t, sendable, err == nil, "%q", h)
		}
	}
}
