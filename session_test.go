package wechatws_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Reconnect replaces an open connection without a wait and without the schedule, which is not asked.
// The attempt counts.
func TestReconnectOfAnOpenConnectionIsTheNextAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithoutReconnect())...).connect()
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		require.Equal(t, []string{"connecting", "open", "connecting", "open"}, c.states())
		require.Equal(t, 2, c.lastChange().Attempt)
		c.close()
	})
}

// Close asks no policy whether another attempt follows, and reports no error.
func TestCloseIsNoFailure(t *testing.T) {
	for name, answer := range map[string]wstest.Answer{"open": wstest.Accept(), "dialing": wstest.NoAnswer()} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.Answer(answer)
				var asked atomic.Int32
				c := w.client(append(quiet(), wechatws.WithRetryIf(func(wechatws.Failure) bool {
					asked.Add(1)
					return true
				}))...)
				go c.Run(t.Context())
				w.sleep(time.Second)
				c.close()
				require.Zero(t, asked.Load())
				require.Empty(t, c.errors())
			})
		})
	}
}

// A policy may close the client: no wait follows.
func TestCloseNowInAPolicy(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var c *client
		c = w.client(append(quiet(), wechatws.WithRetryIf(func(wechatws.Failure) bool {
			_ = c.CloseNow()
			return true
		}))...).connect()
		w.sleep(0) // no callback is left to wait for
		w.conn().Cut(wstest.RST)
		w.sleep(0)
		require.Empty(t, c.errors())
		require.Equal(t, []string{"connecting", "open", "closed"}, c.states())
	})
}

// stall fills the inbox of a client whose callbacks block, until the reader waits for room. Nothing
// is left in the socket.
func (w *world) stall(conn *wstest.Conn) {
	require.NoError(w, conn.WriteRaw([]byte(strings.Repeat(frame(fin|1, `{"msg_type":"x"}`), 1500))))
}

// The silence of a peer while the reader has waited for room does not count after that either: the
// peer has time to answer a ping.
func TestTheSilenceOfAStallDoesNotCountAfterIt(t *testing.T) {
	for _, d := range []time.Duration{11 * time.Second, time.Minute} {
		virtual(t, func(t *testing.T, w *world) {
			release := make(chan struct{})
			c := w.client(wechatws.WithoutHeartbeat())
			c.OnMessage(func(context.Context, wechatws.Message) { <-release })
			c.connect()
			conn := w.conn()
			w.sleep(time.Second)
			w.stall(conn)
			w.sleep(d)
			close(release)
			w.sleep(time.Minute)
			require.Empty(t, c.ends())
			c.close()
		})
	}
}

// A pong that has waited until the reader reads again measures nothing.
func TestAPongBehindAFullInboxIsNoRoundTrip(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(time.Second)
		release := make(chan struct{})
		c := w.client(wechatws.WithoutHeartbeat())
		c.OnMessage(func(context.Context, wechatws.Message) { <-release })
		c.connect()
		conn := w.conn()
		w.sleep(2500 * time.Millisecond)
		w.stall(conn) // it arrives between the first ping and its pong
		w.sleep(time.Minute)
		close(release)
		w.sleep(time.Minute)
		require.Empty(t, c.ends())
		require.Less(t, c.Stats().MaxRTT, 10*time.Second)
		c.close()
	})
}

// Reconnect during an attempt is over with the attempt that follows: the next failure is followed by a
// wait.
func TestReconnectDuringAnAttemptIsForTheNextOne(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.NoAnswer(), wstest.Status(500, nil, ""))
		c := w.client(quiet()...)
		go c.Run(t.Context())
		w.sleep(time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		require.Len(t, w.net.Dials(), 2)
		require.Equal(t, wechatws.StateWaiting, c.State())
		c.close()
	})
}

// Reconnect after an attempt has failed does not make the failure one of its own.
func TestReconnectInDialDone(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.Status(500, nil, ""))
		var c *client
		c = w.client(append(quiet(), wechatws.WithTrace(wechatws.Trace{DialDone: func(_ context.Context, i wechatws.DialInfo) {
			if i.Err != nil {
				_ = c.Reconnect()
			}
		}}))...)
		c.connect()
		w.sleep(0)
		require.Zero(t, w.since())
		require.Len(t, c.errors(), 1)
		c.close()
	})
}

// A connection whose attempt was ended does not open, even if its function has not noticed.
func TestReconnectInAfterConnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Minute, func(_ context.Context, o *wechatws.Setup) error {
			if o.Connection == 1 {
				_ = c.Reconnect()
			}
			return nil
		})
		c.connect()
		w.sleep(0)
		require.Len(t, c.opens, 1)
		require.Equal(t, 2, c.opens[0].Connection)
		c.close()
	})
}

// An earlyMonitor reports a change before Watch returns, and has an old status.
type earlyMonitor struct{ *fakeNetwork }

func (m earlyMonitor) Watch(fn func(wechatws.NetworkStatus)) (stop func()) {
	fn(networkStatus(true))
	return m.fakeNetwork.Watch(fn)
}

func TestAChangeBeforeTheFirstStatus(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithNetworkMonitor(earlyMonitor{newFakeNetwork(false)}))...)
		go c.Run(t.Context())
		w.sleep(time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

// The context of callbacks ends when the client has failed.
func TestTheContextOfCallbacksEndsAfterAFailure(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithoutReconnect())...)
		var ctx context.Context
		c.OnMessage(func(ofMessage context.Context, _ wechatws.Message) { ctx = ofMessage })
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send("{}"))
		w.sleep(0)
		require.NoError(t, ctx.Err())
		conn.Cut(wstest.RST)
		w.sleep(0)
		require.Equal(t, wechatws.StateFailed, c.State())
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		<-c.Done()
	})
}

// A message that is cut when the peer violates our limit is not suspected.
func TestOurOwnLimitMakesNoMessageSuspect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		conn, options := w.connLimited(1)
		c := w.client(append(options, wechatws.WithReadLimit(10), wechatws.WithStrict(), wechatws.WithTiers(wechatws.Tier{Delay: time.Second}))...).connect()
		conn.limit(3)
		c.send("one")
		peer := w.conn()
		<-conn.full
		require.NoError(t, peer.Send("more than ten bytes"))
		next := w.conn()
		w.sleep(500 * time.Millisecond) // a suspect waits for a second
		require.Equal(t, wechatws.StatusMessageTooBig, c.lastClose().Code)
		require.Equal(t, []string{"one"}, received(next))
		c.close()
	})
}

// A Reconnect without a network is for one attempt.
func TestReconnectWithoutANetworkIsForOneAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Status(500, nil, ""))
		c := w.client(append(quiet(), wechatws.WithNetworkMonitor(newFakeNetwork(false)))...)
		go c.Run(t.Context())
		w.sleep(time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(time.Hour)
		require.Len(t, w.net.Dials(), 1)
		require.Equal(t, wechatws.StateOffline, c.State())
		c.close()
	})
}

// Disconnect does not end a connection that Close drains.
func TestDisconnectDuringClose(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithDrainTimeout(time.Minute))...).connect()
		conn := w.conn()
		conn.StopReading()
		c.send(strings.Repeat("x", 1<<20))
		closed := make(chan error)
		go func() { closed <- c.Close(wechatws.StatusNormalClosure, "") }()
		w.sleep(time.Second)
		require.ErrorIs(t, c.Disconnect(1, context.Canceled), wechatws.ErrNotOpen)
		conn.ResumeReading()
		require.NoError(t, <-closed)
		<-c.Done()
	})
}

// Failures that are no refusal are no row.
func TestFailuresWithoutAKindAreNoRow(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.Unreachable(true)
		var failures []wechatws.Failure
		c := w.client(append(quiet(), wechatws.WithRetryIf(func(f wechatws.Failure) bool {
			failures = append(failures, f)
			return true
		}))...)
		go c.Run(t.Context())
		w.sleep(time.Hour)
		c.close()
		require.Greater(t, len(failures), 10)
		for _, f := range failures {
			require.Equal(t, 1, f.Repeats)
			require.False(t, f.Persistent)
		}
	})
}
