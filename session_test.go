package wechatws_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestReconnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		assert.ErrorIs(t, c.Reconnect(), wechatws.ErrNotOpen)
		c.connect()

		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "dropped, and open again at once")
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrReconnect)

		w.srv.Stop(wstest.FIN)
		w.sleep(time.Hour) // into the 450 s tier
		require.Equal(t, wechatws.StateWaiting, c.State())
		require.Equal(t, 450*time.Second, c.lastChange().RetryIn)
		w.srv.Start()
		before := w.since()
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "the wait is cut short")
		assert.Equal(t, before, w.since())

		w.srv.Answer(wstest.NoAnswer())
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		require.Equal(t, wechatws.StateConnecting, c.State())
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "an attempt that hangs is made anew")
		assert.Equal(t, 1, w.net.MaxClients(), "and never two connections")
		c.close()
		assert.ErrorIs(t, c.Reconnect(), wechatws.ErrClosed)
	})
}

func TestStateChangesTellWhatAndWhen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.Status(503, http.Header{"Retry-After": {"7"}}, "deploying"))
		c := w.client(quiet()...).connect()
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Second)
		c.mu.Lock()
		var got []string
		for _, e := range c.changes {
			got = append(got, fmt.Sprintf("%v→%v attempt %d in %v: %v", e.From, e.To, e.Attempt, e.RetryIn, e.Err))
		}
		c.mu.Unlock()
		assert.Equal(t, []string{
			"idle→connecting attempt 1 in 0s: <nil>",
			`connecting→waiting attempt 2 in 7s: wechatws: handshake server.test:80: server answered 503 Service Unavailable`,
			"waiting→connecting attempt 2 in 0s: <nil>",
			"connecting→open attempt 2 in 0s: <nil>",
			"open→waiting attempt 3 in 3s: wechatws: peer closed the connection: close code 1006 (abnormal closure): EOF",
		}, got)
		c.close()
	})
}

func TestTheCounterResetsOnlyAfterAStableConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 2}, wechatws.Tier{Delay: time.Minute}))...)
		c.connect()
		for _, want := range []time.Duration{time.Second, time.Second, time.Minute, time.Minute} {
			w.sleep(4 * time.Second) // not stable
			w.conn().Cut(wstest.FIN)
			w.sleep(0)
			assert.Equal(t, want, c.lastChange().RetryIn)
			w.sleep(want)
		}
		w.sleep(6 * time.Second) // stable
		w.conn().Cut(wstest.FIN)
		w.sleep(0)
		assert.Equal(t, time.Second, c.lastChange().RetryIn)
		assert.Equal(t, 1, c.lastChange().Attempt)
		c.close()
	})
}

func TestCloseByThePeerIsRetriedWhateverTheCode(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		for _, code := range []int{1000, 1001, 1008, 1011, 1012, 4000} {
			require.NoError(t, w.conn().Close(code, "restart"))
			w.sleep(0)
			e := c.lastClose()
			assert.Equal(t, wechatws.StatusCode(code), e.Code)
			assert.Equal(t, "restart", e.Reason)
			assert.True(t, e.Remote)
			w.sleep(3 * time.Second)
			assert.Equal(t, wechatws.StateOpen, c.State(), code)
		}
		c.close()
	})
}

func TestPolicyCloseIsBelievedTheThirdTime(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithPermanentAfter(0))...)
		over := make(chan error, 1)
		go func() { over <- c.Run(t.Context()) }()
		for range 3 {
			require.NoError(t, w.conn().Close(1008, "banned"))
		}
		err := <-over
		var ce *wechatws.CloseError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, wechatws.StatusPolicyViolation, ce.Code)
		assert.Len(t, w.srv.Conns(), 3)
	})
}

func TestBackOffStopEndsInFailedWithTheLastError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client(wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 2}))
		c.send("kept")
		err := c.Connect(t.Context())
		var de *wechatws.DialError
		require.ErrorAs(t, err, &de)
		assert.Equal(t, "connect", de.Phase)
		assert.EqualError(t, err, "wechatws: connect server.test:80: connection refused")
		assert.Len(t, w.net.Dials(), 3)

		w.srv.Start()
		c.connect()
		w.sleep(0)
		assert.Equal(t, []string{"kept"}, received(w.conn()), "a failure leaves the queue to the next Connect")
		c.close()
	})
}
