package wechatws_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestStatsTellWhyConnectionsEnded(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		require.Equal(t, wechatws.Stats{State: wechatws.StateOpen, Since: w.start, Attempt: 1, Attempts: 1, Opens: 1}, c.Stats())

		number := 1
		for _, end := range []func(*wstest.Conn){
			func(conn *wstest.Conn) { _ = conn.Close(4001, "") },
			func(conn *wstest.Conn) { _ = conn.Close(1005, "") },
			func(conn *wstest.Conn) { conn.Cut(wstest.RST) },
			func(conn *wstest.Conn) { conn.Cut(wstest.FIN) },
			func(conn *wstest.Conn) { conn.Blackhole(true) },
			func(conn *wstest.Conn) { _ = conn.WriteRaw([]byte(frame(fin|rsv3|1, "x"))) },
			func(conn *wstest.Conn) { _ = conn.Send(strings.Repeat("x", 33<<20)) },
			func(*wstest.Conn) { _ = c.Reconnect() },
			func(*wstest.Conn) { _ = c.Disconnect(number, errors.New("no prices for a minute")) },
		} {
			end(w.conn())
			w.sleep(20 * time.Second)
			number++
		}
		s := c.Stats()
		require.Equal(t, wechatws.Disconnects{Closed: 2, Lost: 2, HalfOpen: 1, Protocol: 2, Local: 2}, s.Disconnects)
		require.Equal(t, 9, s.Disconnects.Total())
		require.Equal(t, 10, s.Attempts)
		require.Equal(t, 10, s.Opens)
		require.EqualError(t, s.LastError, "wechatws: connection ended: close code 1006 (abnormal closure): no prices for a minute")
		require.Equal(t, w.start.Add(8*20*time.Second), s.LastErrorAt)
		c.close()
		require.Equal(t, s.Disconnects, c.Stats().Disconnects, "Close is no drop")
		require.Equal(t, s.LastError, c.Stats().LastError)
	})
}

func TestStatsOfAWait(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client()
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(4 * time.Second)
		s := c.Stats()
		require.Equal(t, wechatws.StateWaiting, s.State)
		require.Equal(t, w.start.Add(3*time.Second), s.Since)
		require.Equal(t, w.start.Add(6*time.Second), s.RetryAt)
		require.Equal(t, 2, s.Attempts)
		require.Zero(t, s.Opens)
		require.ErrorContains(t, s.LastError, "refused")
		w.srv.Start()
		w.sleep(2 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.Stats().State)
		require.Zero(t, c.Stats().RetryAt)
		c.close()
	})
}

func TestStatsCountMessages(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(40 * time.Millisecond)
		c := w.client(append(quiet(), wechatws.WithQueue(3, 1000, wechatws.QueueDropOldest))...)
		c.send("12345", "12345", "12345", "12345", "12345")
		s := c.Stats()
		require.Equal(t, []int{3, 15, 3}, []int{s.Queued, s.QueuedBytes, s.MaxQueued})
		require.EqualValues(t, 2, s.Dropped)
		require.Zero(t, s.MessagesOut)

		release := make(chan struct{})
		wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) { <-release })
		c.connect()
		c.flush()
		for range 7 {
			require.NoError(t, w.srv.Conns()[0].Send(`{"msg_type":"x"}`))
		}
		w.sleep(time.Second)
		s = c.Stats()
		require.Equal(t, []int{0, 0, 3}, []int{s.Queued, s.QueuedBytes, s.MaxQueued})
		require.Equal(t, []int64{3, 15}, []int64{s.MessagesOut, s.BytesOut})
		require.Equal(t, []int64{7, 7 * 16}, []int64{s.MessagesIn, s.BytesIn})
		require.Equal(t, []int{7, 7}, []int{s.Inbox, s.MaxInbox})
		close(release)
		w.sleep(0)
		require.Equal(t, []int{0, 7}, []int{c.Stats().Inbox, c.Stats().MaxInbox})
		c.close()
	})
}

func TestStatsKeepTheWorstRoundTrip(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(120 * time.Millisecond)
		c := w.client().connect()
		w.sleep(4 * time.Second)
		w.net.SetLatency(40 * time.Millisecond)
		w.sleep(3 * time.Second)
		s := c.Stats()
		require.Equal(t, 80*time.Millisecond, s.RTT)
		require.Equal(t, 220*time.Millisecond, s.SmoothedRTT)
		require.Equal(t, 240*time.Millisecond, s.MaxRTT)
		c.close()
	})
}

// The end of a context is no failure: it does not hide the one before it.
func TestLastErrorIsThatOfAnAttemptOrAConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		require.ErrorIs(t, c.Connect(ctx), context.DeadlineExceeded)
		s := c.Stats()
		require.ErrorContains(t, s.LastError, "refused")
		require.Equal(t, w.start.Add(3*time.Second), s.LastErrorAt)

		w.srv.Start()
		ctx, cancel = context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- c.Run(ctx) }()
		w.sleep(time.Second)
		w.conn().Cut(wstest.RST)
		w.sleep(time.Second)
		lost := c.Stats().LastError
		require.ErrorAs(t, lost, new(*wechatws.CloseError))
		cancel()
		require.NoError(t, <-over)
		require.Equal(t, lost, c.Stats().LastError)
	})
}
