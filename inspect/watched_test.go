package inspect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// What has happened before somebody comes to look is there when they do.
func TestThePastIsThere(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, conn := w.open(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: 10 * time.Second}))...)
		w.sleep(0) // until callbacks have been told that it connects
		w.page.Add("shop", c)
		w.sleep(time.Minute)
		w.srv.Stop(wstest.RST)
		w.sleep(35 * time.Second)
		w.srv.Start()
		w.sleep(30 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.NotNil(t, conn)

		r := w.rows()["shop"]
		require.Equal(t, "open", r["state"])
		require.InDelta(t, c.Stats().Since.UnixMilli(), r["since"], 0)
		letters, newest := cells(t, r["strip"].(string))
		require.Equal(t, strings.Repeat("-", 99)+strings.Repeat("o", 12)+strings.Repeat("w", 9), letters)
		require.Equal(t, cellOf(c.Stats().Since), newest, "after that the state is what it is")
		list := r["errors"].([]any)
		require.Len(t, list, 2)
		require.InDelta(t, 3, list[1].(map[string]any)["times"], 0, "attempts that were refused: %v", list)
	})
}

// A callback that runs for long keeps the others waiting; the timeline is right all the
// same, once they are told.
func TestLateCallbacksTellWhenItWas(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, _ := w.open(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: 10 * time.Second}))...)
		c.OnClose(func(context.Context, wechatws.CloseEvent) { time.Sleep(40 * time.Second) })
		w.sleep(0)
		w.page.Add("shop", c)
		w.sleep(30 * time.Second)
		w.srv.Stop(wstest.RST)
		w.srv.Start()
		w.sleep(20 * time.Second) // open again, and nobody has told the page
		require.Equal(t, wechatws.StateOpen, c.State())
		r := w.rows()["shop"]
		require.Equal(t, "open", r["state"])
		require.InDelta(t, c.Stats().Since.UnixMilli(), r["since"], 0)
		w.sleep(30 * time.Second)
		letters, newest := cells(t, w.rows()["shop"]["strip"].(string))
		require.Equal(t, strings.Repeat("-", 111)+"oooooo"+"www", letters)
		require.Equal(t, cellOf(c.Stats().Since), newest)
	})
}

func TestTheCountdown(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, _ := w.open(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: 10 * time.Second}))...)
		w.page.Add("shop", c)
		w.srv.Stop(wstest.RST)
		w.sleep(time.Second)
		r := w.rows()["shop"]
		require.Equal(t, "waiting", r["state"])
		require.InDelta(t, c.Stats().RetryAt.UnixMilli(), r["retry_at"], 0)
		require.InDelta(t, time.Now().Add(9*time.Second).UnixMilli(), r["retry_at"], 1000)
		w.srv.Start()
		w.sleep(10 * time.Second)
		require.InDelta(t, 0, w.rows()["shop"]["retry_at"], 0)
	})
}

func TestErrorsOfCallbacksAreShown(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, conn := w.open(quiet()...)
		w.page.Add("shop", c)
		c.OnMessage(func(context.Context, wechatws.Message) { panic(errors.New("out of tea")) })
		require.NoError(t, conn.Send(`{}`))
		w.sleep(time.Second)
		r := w.rows()["shop"]
		require.Equal(t, "open", r["state"])
		list := r["errors"].([]any)
		require.Len(t, list, 1)
		require.Contains(t, list[0].(map[string]any)["text"], "out of tea")
	})
}

func TestRemoveTakesTheCallbacksBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, _ := w.open(quiet()...)
		remove := w.page.Add("shop", c)
		watched := w.page.clients.list[0]
		w.page.Add("again", c) // one client may be there twice
		remove()
		w.srv.Stop(wstest.RST)
		w.sleep(time.Minute)
		require.Empty(t, watched.errors.list)
		require.Equal(t, wechatws.StateOpen, wechatws.State(watched.strip.state))
		rows := w.rows()
		require.Len(t, rows, 1)
		require.NotEmpty(t, rows["again"]["errors"])
	})
}

func TestAClientThatIsClosedStays(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c, _ := w.open(quiet()...)
		w.page.Add("shop", c)
		s := w.watch()
		s.take()
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		w.sleep(tickEvery)
		require.Equal(t, "closed", s.changes()["1"]["state"])
	})
}

// Queries, user info, headers and tokens must not be found in anything that is sent,
// whatever goes wrong.
func TestThePageTellsNoSecrets(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("hunter2")))
		w.srv.Answer(wstest.Status(http.StatusFound, http.Header{"Location": {"ws://me:hunter2@elsewhere.test/?ticket=hunter2"}}, ""), wstest.Status(http.StatusForbidden, nil, "no"))
		for range 3 {
			address := strings.Replace(w.srv.URL(), "ws://", "ws://user:hunter2@", 1) + "?token=hunter2"
			c, err := wechatws.New(address, wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext),
				wechatws.WithHeader(http.Header{"Authorization": {"Bearer hunter2"}, "X-Api-Key": {"hunter2"}}),
				wechatws.WithSubprotocols("hunter2"))
			require.NoError(t, err)
			t.Cleanup(func() { _ = c.Close(wechatws.StatusNormalClosure, "") })
			w.page.Add("shop", c)
			_ = c.Connect(t.Context()) // that it fails is what is looked at
			_ = c.Send(t.Context(), wechatws.Text("hunter2"))
		}
		s := w.watch()
		w.sleep(20 * time.Second)
		w.srv.Stop(wstest.RST)
		w.sleep(20 * time.Second)
		_, page := w.ask("GET", "")
		_, rows := w.ask("GET", "?rows")
		require.NotContains(t, page+rows, "hunter2")
		require.Contains(t, rows, `"text":`, "there is an error to look at")
		require.NotContains(t, fmt.Sprint(s.changes()), "hunter2")
	})
}
