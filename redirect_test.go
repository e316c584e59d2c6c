package wechatws_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// The client's header and messages are for the configured host only.
func TestARedirectToAnotherHostGetsNothing(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		evil := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr("evil.test:80"))
		defer evil.Close()
		for _, location := range []string{"http://evil.test:80/?a=s3cret-location", "//evil.test:80/", "http://user:s3cret-location@evil.test:80/"} {
			w.srv.Answer(wstest.Status(307, http.Header{"Location": {location}}, ""))
			c := w.told("ws://user:s3cret-user@server.test:80/?token=s3cret-query",
				wechatws.WithHeader(http.Header{"X-Token": {"s3cret-header"}, "Cookie": {"s=s3cret-cookie"}}),
				wechatws.WithSubprotocols("bearer", "s3cret-sub"),
				wechatws.WithLoginMessage(map[string]string{"msg_type": "login", "token": "s3cret-login"}))
			c.send("s3cret-queued")
			connected := make(chan error, 1)
			go func() { connected <- c.Connect(t.Context()) }()
			w.sleep(time.Second)
			assert.EqualError(t, c.Stats().LastError, "wechatws: handshake server.test:80: redirect to another host (evil.test:80) refused; connect to that host if it is the right one")
			w.sleep(3 * time.Second) // and the next attempt is as good as ever
			require.NoError(t, <-connected)
			for _, text := range c.texts() {
				assert.NotContains(t, text, "s3cret")
			}
			assert.Equal(t, []string{`{"msg_type":"login","token":"s3cret-login"}`, "s3cret-queued"}, received(w.conn())[:2])
			c.close()
		}
		assert.Empty(t, evil.Handshakes())
	})
}

// A redirect may omit a standard port.
func TestARedirectToTheSameHostIsFollowed(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for _, location := range []string{"/b", "http://server.test/b", "//server.test/b"} {
			w.srv.Answer(wstest.Status(307, http.Header{"Location": {location}}, ""))
			c := w.client(wechatws.WithSubprotocols("bearer", "token"), wechatws.WithHeader(http.Header{"X-Token": {"token"}}),
				wechatws.WithLoginMessage("login")).connect()
			conn := w.conn()
			w.sleep(0)
			assert.Equal(t, "/b", conn.Request().URL.Path)
			assert.Equal(t, "token", conn.Request().Header.Get("X-Token"))
			assert.Equal(t, []string{`"login"`}, received(conn)[:1])
			c.close()
		}
		w.srv.Answer(wstest.Status(307, http.Header{"Location": {"http://server.test:81/"}}, ""))
		err := w.client(wechatws.WithoutReconnect()).Connect(t.Context())
		assert.ErrorContains(t, err, "redirect to another host (server.test:81) refused", "another port is another server")
	})
}
