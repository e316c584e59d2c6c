package wechatws_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
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

// An error shows the beginning of an invalid response, which is enough to find the fault.
func TestTextsFromOutsideAreCutAndVisible(t *testing.T) {
	long := strings.Repeat("\u009b\x07", 10_000) // control characters, which terminals obey
	plain := strings.Repeat("long", 10_000)
	upgrade := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	accept := func(name, value string) wstest.Answer {
		return wstest.Accept(wstest.WithHeader(http.Header{name: {value}}))
	}
	for name, tt := range map[string]struct {
		answer wstest.Answer
		want   string
	}{
		"a status line":                {wstest.Raw("HTTP/1.1 abc" + long + "\r\n\r\n"), "malformed HTTP status code"},
		"a version":                    {wstest.Raw("HTTP/" + plain + " 200 OK\r\n\r\n"), "malformed HTTP version"},
		"no HTTP":                      {wstest.Raw(plain + "\r\n\r\n"), "malformed HTTP response"},
		"a header line":                {wstest.Raw("HTTP/1.1 200 OK\r\n" + plain + "\r\n\r\n"), "malformed MIME header"},
		"a Location":                   {wstest.Status(302, http.Header{"Location": {"::" + plain}}, ""), "failed to parse Location"},
		"a Location on another host":   {wstest.Status(302, http.Header{"Location": {"http://" + plain + ".test/"}}, ""), "redirect to another host"},
		"an upgrade to something else": {wstest.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + plain + "\r\n\r\n"), "Upgrade"},
		"an accept":                    {wstest.Raw(upgrade + "Sec-WebSocket-Accept: " + plain + "\r\n\r\n"), "Sec-WebSocket-Accept"},
		"a subprotocol":                {accept("Sec-Websocket-Protocol", plain), "Sec-WebSocket-Protocol"},
		"extensions":                   {accept("Sec-Websocket-Extensions", "a, "+plain), "unsupported extensions"},
		"a page":                       {wstest.Status(500, nil, plain), "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(tt.answer)
				c := w.transcript(w.srv.URL(), wechatws.WithoutReconnect())
				err := c.Connect(t.Context())
				w.sleep(0)
				require.ErrorContains(t, err, tt.want)
				assertShort(t, c.texts(err))
			})
		})
	}
}

// So is what a proxy answers that is asked for a tunnel.
func TestAProxysAnswerIsCut(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":       strings.Repeat("x", 40_000) + "\r\n\r\n",
		"a status line": "HTTP/1.1 407 " + strings.Repeat("x", 40_000) + "\r\n\r\n",
		"a header line": "HTTP/1.1 200 OK\r\n" + strings.Repeat("\u009b", 20_000) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				l, err := w.net.Listen("proxy.test:3128")
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
				proxy := &url.URL{Scheme: "http", Host: "proxy.test:3128", User: url.UserPassword("user", "s3cret")}
				c := w.transcript("wss://server.test/", wechatws.WithoutReconnect(), wechatws.WithProxy(http.ProxyURL(proxy)))
				err = c.Connect(t.Context())
				w.sleep(0)
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				assert.NotContains(t, err.Error(), "s3cret")
				assertShort(t, c.texts(err))
			})
		})
	}
}

func assertShort(t *testing.T, texts []string) {
	t.Helper()
	for _, text := range texts {
		assert.LessOrEqual(t, len(text), 500, "a log line has more than an error in it")
		assert.NotContains(t, text, "\u009b")
		assert.NotContains(t, text, "\x07")
	}
}

// An offered subprotocol may be a token, and a faulty server repeats the whole list.
func TestEchoedSubprotocolsAreTakenOut(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Accept(wstest.WithHeader(http.Header{"Sec-Websocket-Protocol": {"bearer,s3cret-sub"}})))
		err := w.client(wechatws.WithoutReconnect(), wechatws.WithSubprotocols("bearer", "s3cret-sub")).Connect(t.Context())
		require.ErrorContains(t, err, "unexpected Sec-WebSocket-Protocol from server")
		require.NotContains(t, err.Error(), "s3cret")
	})
}

// Messages that cannot be used are reported with their type, which may be as large as a
// message.
func TestTypesInErrorsAreCut(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.transcript(w.srv.URL(), quiet()...)
		defer c.close()
		long := strings.Repeat("\u009btype", 100_000)
		wechatws.On(c.Client, long, func(_ context.Context, _ int) {})
		wechatws.On(c.Client, "map", func(_ context.Context, _ map[string]map[string]int) {})
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":%q}`, long)))
		require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"map","a":{%q:"x"}}`, long)))
		w.sleep(0)
		require.Len(t, c.errors(), 2)
		var unused *wechatws.DecodeError
		require.ErrorAs(t, c.errors()[0], &unused)
		require.Equal(t, long, unused.Type, "the field has all of it")
		for _, err := range c.errors() {
			assert.Less(t, len(err.Error()), 500)
			assert.NotContains(t, err.Error(), "\u009b")
		}
		for _, line := range strings.Split(c.log.String(), "\n") {
			assert.Less(t, len(line), 700)
		}
	})
}

// The names of a few types without a callback are kept, so that they need not be made
// again; long ones are not.
func TestLongTypesAreNotKept(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		defer c.close()
		conn := w.conn()
		const size = 500_000
		before := heap()
		for i := range 40 {
			require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"%02d%s"}`, i, strings.Repeat("x", size))))
			w.sleep(time.Millisecond)
		}
		w.sleep(time.Second)
		require.Empty(t, c.errors())
		w.srv.Reset()
		require.Less(t, int64(heap())-int64(before), int64(4*size))
	})
}
