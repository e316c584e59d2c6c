package inspect

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

func TestReconnectReconnects(t *testing.T) {
	virtualPage(t, New(WithReconnect()), func(t *testing.T, w *world) {
		c, _ := w.open(quiet()...)
		w.page.Add("shop", c)
		require.Equal(t, "1", w.rows()["shop"]["id"])
		require.True(t, w.watch().take()[0].Reconnect)
		for _, header := range [][]string{
			{"Origin", "http://site.test:80", "Sec-Fetch-Site", "same-origin"},
			{"Origin", "http://site.test:80"}, // an older browser
			{},                                // no browser
		} {
			res, body := w.ask("POST", "?reconnect=1", header...)
			require.Equal(t, http.StatusOK, res.StatusCode)
			require.Equal(t, "application/json", res.Header.Get("Content-Type"))
			require.JSONEq(t, `{"ok":true}`, body)
			_, err := w.srv.NextConn(t.Context())
			require.NoError(t, err)
			w.sleep(0)
		}
		require.Equal(t, 4, c.Stats().Opens)
		require.Equal(t, wechatws.Disconnects{Local: 3}, c.Stats().Disconnects)
	})
}

func TestReconnectHasToBeAllowed(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, _ := w.open(quiet()...)
		w.page.Add("shop", c)
		s := w.watch()
		require.False(t, s.take()[0].Reconnect)
		res, body := w.ask("POST", "?reconnect=1")
		require.Equal(t, http.StatusForbidden, res.StatusCode)
		require.JSONEq(t, `{"ok":false,"error":"the program does not allow it"}`, body)
		w.sleep(time.Minute)
		require.Equal(t, 1, c.Stats().Opens)
	})
}

func TestReconnectIsForThePageAlone(t *testing.T) {
	virtualPage(t, New(WithReconnect()), func(t *testing.T, w *world) {
		c, _ := w.open(quiet()...)
		w.page.Add("shop", c)
		for _, header := range [][]string{
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site"}, // another port of this host
			{"Origin", "https://evil.example"},
			{"Origin", "http://site.test:81"},
			{"Origin", "null"},
		} {
			res, body := w.ask("POST", "?reconnect=1", header...)
			require.Equal(t, http.StatusForbidden, res.StatusCode, header)
			require.JSONEq(t, `{"ok":false,"error":"this is not for other web sites"}`, body)
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
			res, _ := w.ask(method, "?reconnect=1")
			require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, method)
			require.Equal(t, "POST", res.Header.Get("Allow"))
		}
		w.sleep(time.Minute)
		require.Equal(t, 1, c.Stats().Opens)
	})
}

func TestReconnectSaysWhyNot(t *testing.T) {
	virtualPage(t, New(WithReconnect()), func(t *testing.T, w *world) {
		remove := w.page.Add("gone", w.client())
		w.page.Add("idle", w.client())
		closed := w.client()
		require.NoError(t, closed.Close(wechatws.StatusNormalClosure, ""))
		w.page.Add("closed", closed)
		remove()
		for query, want := range map[string]struct {
			status int
			body   string
		}{
			"?reconnect=1": {http.StatusNotFound, `{"ok":false,"error":"there is no such client any more"}`},
			"?reconnect=":  {http.StatusNotFound, `{"ok":false,"error":"there is no such client any more"}`},
			"?reconnect=2": {http.StatusConflict, `{"ok":false,"error":"not open"}`},
			"?reconnect=3": {http.StatusConflict, `{"ok":false,"error":"client is closed"}`},
		} {
			res, body := w.ask("POST", query)
			require.Equal(t, want.status, res.StatusCode, query)
			require.JSONEq(t, want.body, body)
		}
	})
}
