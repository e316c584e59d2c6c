package wechatws_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestCloseNow(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		conn.StopReading() // Close would wait for the answer to its close frame
		began := time.Now()
		require.NoError(t, c.CloseNow())
		assert.Equal(t, wechatws.StateClosed, c.State())
		<-c.Done()
		assert.Zero(t, time.Since(began))
		conn.ResumeReading()
		<-conn.Done()
		code, _ := conn.CloseCode()
		assert.Equal(t, int(wechatws.StatusAbnormalClosure), code)
		assert.Equal(t, wechatws.StatusAbnormalClosure, c.lastClose().Code)
		assert.NoError(t, c.lastClose().Err, "it was asked for")
		require.NoError(t, c.CloseNow())
		w.sleep(time.Hour)
		assert.Equal(t, 1, c.Stats().Opens, "no reconnect follows")
	})
}

func TestCloseNowHandsBackWhatIsQueued(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client(quiet()...)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		c.send("x", "y")
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.CloseNow(), &left)
		assert.Len(t, left.Messages, 2)
	})
}

func TestCloseNowCutsACloseShort(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		w.conn().StopReading()
		began := time.Now()
		closed := make(chan time.Duration)
		go func() {
			_ = c.Close(wechatws.StatusNormalClosure, "")
			closed <- time.Since(began)
		}()
		w.sleep(500 * time.Millisecond)
		require.NoError(t, c.CloseNow())
		assert.Equal(t, 500*time.Millisecond, <-closed)
	})
}

func TestCloseNowInACallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		done := make(chan error, 1)
		c.OnOpen(func(context.Context, wechatws.OpenEvent) { done <- c.CloseNow() })
		c.connect()
		assert.NoError(t, <-done)
		require.NoError(t, c.CloseNow())
	})
}
