package wechatws_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// healthz is the handler that docs/observing.md shows.
func healthz(client *wechatws.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if !client.Healthy(2 * time.Minute) {
			s := client.Stats()
			http.Error(w, fmt.Sprintf("not open since %v: %v", s.AwaySince, s.LastError), http.StatusServiceUnavailable)
		}
	}
}

func TestHealthz(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		ask := func() int {
			answer := httptest.NewRecorder()
			healthz(c.Client)(answer, nil)
			return answer.Code
		}
		assert.Equal(t, 200, ask(), "before the first Connect")
		c.connect()
		w.sleep(time.Hour)
		assert.Equal(t, 200, ask())
		w.srv.AnswerAlways(wstest.Status(503, nil, ""))
		w.conn().Cut(wstest.RST)
		away := time.Now()
		for range 2 * 60 { // the client waits, connects and waits
			w.sleep(time.Second)
			require.Equal(t, 200, ask())
			require.Equal(t, away, c.Stats().AwaySince)
		}
		for range 20 * 60 {
			w.sleep(time.Second)
			require.Equal(t, 503, ask(), c.State())
			require.Equal(t, away, c.Stats().AwaySince)
		}
		require.Less(t, time.Since(c.Stats().Since), 10*time.Minute, "the state has begun anew")
		w.srv.AnswerAlways(wstest.Accept())
		w.conn()
		w.sleep(0)
		assert.Equal(t, 200, ask())
		assert.Zero(t, c.Stats().AwaySince)
		c.close()
	})
}

func TestAwaySince(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		n := newFakeNetwork(false)
		c := w.client(append(quiet(), wechatws.WithNetworkMonitor(n))...)
		away := func() time.Duration {
			if since := c.Stats().AwaySince; !since.IsZero() {
				return since.Sub(w.start)
			}
			return -1
		}
		require.Equal(t, time.Duration(-1), away())
		_ = c.Close(wechatws.StatusNormalClosure, "")
		require.Equal(t, time.Duration(-1), away())
		w.sleep(time.Second)
		result := c.running() // offline
		w.sleep(time.Minute)
		require.Equal(t, time.Second, away())
		n.set(true)
		w.sleep(4 * time.Second)
		require.Equal(t, time.Duration(-1), away())
		ended := w.since()
		c.close()
		require.NoError(t, <-result)
		w.sleep(time.Hour)
		require.Equal(t, ended, away())
		require.False(t, c.Healthy(time.Minute))
		require.True(t, c.Healthy(time.Hour))
		w.srv.AnswerAlways(wstest.NoAnswer())
		started := w.since()
		result = c.running()
		w.sleep(time.Second)
		require.Equal(t, started, away(), "it begins anew")
		require.True(t, c.Healthy(time.Minute))
		c.close()
		require.NoError(t, <-result)
	})
}
