package wechatws_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A StateChange has the time of the change, also in a callback that runs late and in a Trace.
func TestChangesTellWhenTheyHappened(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		type moved struct {
			at       time.Duration
			from, to wechatws.State
		}
		of := func(e wechatws.StateChange) moved { return moved{e.At.Sub(w.start), e.From, e.To} }
		var retries, changes []moved
		c := w.client(wechatws.WithTrace(wechatws.Trace{Retry: func(_ context.Context, e wechatws.StateChange) { retries = append(retries, of(e)) }}))
		c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
			if e.To == wechatws.StateConnecting {
				time.Sleep(time.Minute)
			}
			changes = append(changes, of(e))
		})
		w.srv.Answer(wstest.Delay(time.Second, wstest.Status(502, nil, "")), wstest.Delay(2*time.Second, wstest.Accept()))
		c.connect()
		require.Equal(t, 6*time.Second, c.Stats().Since.Sub(w.start))
		w.sleep(10 * time.Minute)
		c.close()
		require.Equal(t, []moved{{time.Second, wechatws.StateConnecting, wechatws.StateWaiting}}, retries)
		require.Equal(t, []moved{
			{0, wechatws.StateIdle, wechatws.StateConnecting},
			{time.Second, wechatws.StateConnecting, wechatws.StateWaiting},
			{4 * time.Second, wechatws.StateWaiting, wechatws.StateConnecting},
			{6 * time.Second, wechatws.StateConnecting, wechatws.StateOpen},
			{10*time.Minute + 6*time.Second, wechatws.StateOpen, wechatws.StateClosed},
		}, changes)
	})
}
