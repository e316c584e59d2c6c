package wechatws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// echoOf returns a match function for the echo of a text.
func echoOf(text string) func(wechatws.Message) bool {
	return func(m wechatws.Message) bool {
		return string(m.Data) == "echo "+text || strings.Contains(string(m.Data), `"echo":`+text)
	}
}

// confirm calls SendConfirmed on a goroutine of its own.
func (c *client) confirm(ctx context.Context, n int, options ...wechatws.ConfirmOption) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.SendConfirmed(ctx, n, echoOf(fmt.Sprint(n)), options...)
		done <- err
	}()
	return done
}

// echo makes the server echo each number from now on.
func (w *world) echo() {
	w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		_ = c.Send(fmt.Sprintf(`{"msg_type":"echo","echo":%s}`, m.Data))
	})
}

func TestSendConfirmed(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.echo()
		c := w.client(quiet()...).connect()
		m, err := c.SendConfirmed(t.Context(), 7, echoOf("7"))
		require.NoError(t, err)
		require.Equal(t, "echo", m.Type)
		require.Equal(t, []string{"7"}, received(w.conn()))
		c.close()
	})
}

// What Send does not cover: the socket takes a message, and the peer never reads it.
func TestSendConfirmedIsSentAgainOnTheNextConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		first := w.conn()
		first.Blackhole(true)
		done := c.confirm(t.Context(), 7)
		w.sleep(time.Second)
		require.Zero(t, c.Stats().Queued, "written")
		w.echo()
		first.Cut(wstest.RST)
		require.NoError(t, <-done)
		require.Equal(t, 4*time.Second, w.since())
		require.Equal(t, []string{"7"}, received(w.conn()))
		c.close()
	})
}

// A message that the server has lost is sent again on the same connection.
func TestSendConfirmedIsSentAgainAfterATimeout(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		standard := w.client(quiet()...).connect()
		one := w.conn()
		quick := w.client(quiet()...).connect()
		two := w.conn()
		a, b := standard.confirm(ctx, 1), quick.confirm(ctx, 2, wechatws.ConfirmTimeout(4*time.Second))
		require.ErrorIs(t, <-a, context.DeadlineExceeded)
		require.ErrorIs(t, <-b, context.DeadlineExceeded)
		require.Len(t, received(one), 3, "at 0, 10 and 20 s")
		require.Len(t, received(two), 7, "at 0, 4, …, 24 s")
		standard.close()
		quick.close()
	})
}

// The timeout begins when the message is written, not when it begins to wait for a
// connection.
func TestSendConfirmedWaitsForAConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client(quiet()...)
		done := c.confirm(t.Context(), 7)
		w.sleep(time.Millisecond)
		c.send("8")
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(14 * time.Second)
		w.srv.Start()
		w.sleep(10 * time.Second) // open at 15 s, without an answer
		conn := w.conn()
		require.Equal(t, []string{"7", "8"}, received(conn), "it has kept its place")
		w.sleep(2 * time.Second)
		require.Equal(t, []string{"7", "8", "7"}, received(conn))
		w.echo()
		require.NoError(t, <-done)
		c.close()
	})
}

func TestSendConfirmedKeepsTheOrderOfTheCalls(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var got []string
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, m.Text())
			if len(got)%3 == 0 { // the server drops two of three
				_ = c.Send(fmt.Sprintf(`{"msg_type":"echo","echo":%s}`, m.Data))
			}
		})
		c := w.client(quiet()...).connect()
		var done []<-chan error
		for n := range 5 {
			done = append(done, c.confirm(t.Context(), n))
			w.sleep(time.Millisecond)
		}
		for _, d := range done {
			require.NoError(t, <-d)
		}
		require.Equal(t, strings.Split("0 0 0 1 1 1 2 2 2 3 3 3 4 4 4", " "), got)
		c.close()
	})
}

// Messages that are not confirmed are handed back, in order with the others, also when Close
// is called without a connection.
func TestCloseHandsBackUnconfirmedMessages(t *testing.T) {
	for _, connected := range []bool{true, false} {
		virtual(t, func(t *testing.T, w *world) {
			if !connected {
				w.srv.Stop(wstest.FIN)
			}
			c := w.client(quiet()...)
			go func() { _ = c.Connect(t.Context()) }()
			w.sleep(time.Second)
			a := c.confirm(t.Context(), 1)
			w.sleep(time.Millisecond)
			c.send("2")
			b := c.confirm(t.Context(), 3)
			w.sleep(time.Millisecond)
			var undelivered *wechatws.UndeliveredError
			require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &undelivered)
			require.Equal(t, wechatws.ErrClosed, <-a)
			require.Equal(t, wechatws.ErrClosed, <-b)
			var left []string
			for _, m := range undelivered.Messages {
				left = append(left, string(m.Data))
			}
			if connected {
				require.Equal(t, []string{"1", "3"}, left)
			} else {
				require.Equal(t, []string{"1", "2", "3"}, left)
			}
			require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""), "only once")
			_, err := c.SendConfirmed(t.Context(), 4, echoOf("4"))
			require.ErrorIs(t, err, wechatws.ErrClosed)
		})
	}
}

// Messages that are handed back are not written while Close drains the queue.
func TestCloseDoesNotSendMessagesThatItHandsBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		conn.StopReading()
		c.send(strings.Repeat("x", 1<<20)) // more than the buffers hold
		w.sleep(time.Second)
		done := c.confirm(t.Context(), 7)
		w.sleep(time.Second)
		require.Equal(t, 2, c.Stats().Queued)
		result := make(chan error, 1)
		go func() { result <- c.Close(wechatws.StatusNormalClosure, "") }()
		w.sleep(time.Millisecond)
		conn.ResumeReading()
		var undelivered *wechatws.UndeliveredError
		require.ErrorAs(t, <-result, &undelivered)
		require.Equal(t, []string{"7"}, outgoing(undelivered.Messages))
		require.Equal(t, wechatws.ErrClosed, <-done)
		w.sleep(time.Millisecond)
		require.Len(t, received(conn), 1)
	})
}

// Each try is encoded for its connection.
func TestSendConfirmedEncodesOnWrite(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		k := &ticket{}
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
			k.set(fmt.Sprint("connection ", o.Connection), nil)
			return nil
		})
		c.connect()
		go func() {
			_, _ = c.SendConfirmed(t.Context(), k, func(wechatws.Message) bool { return false }, wechatws.EncodeOnWrite())
		}()
		w.sleep(time.Second)
		first := w.conn()
		first.Cut(wstest.FIN)
		w.sleep(4 * time.Second)
		require.Equal(t, []string{`"connection 1"`}, received(first))
		require.Equal(t, []string{`"connection 2"`}, received(w.conn()))
		_ = c.Close(wechatws.StatusNormalClosure, "")
	})
}

// After a permanent failure SendConfirmed returns the error, and its message is not in the
// queue that the next Connect delivers.
func TestSendConfirmedFailsWithTheClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithoutReconnect())...).connect()
		a, b := c.confirm(t.Context(), 1), c.confirm(t.Context(), 2)
		w.sleep(time.Second)
		w.conn().Cut(wstest.FIN)
		require.ErrorIs(t, <-a, wechatws.ErrClosed)
		require.ErrorIs(t, <-b, wechatws.ErrClosed)
		c.connect()
		w.sleep(time.Second)
		require.Empty(t, received(w.conn()))
		c.close()
	})
}

func TestSendConfirmedGivesUp(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client(quiet()...)
		go func() { _ = c.Connect(t.Context()) }()
		ctx, cancel := context.WithCancelCause(t.Context())
		a := c.confirm(ctx, 1)
		w.sleep(time.Millisecond)
		b := c.confirm(ctx, 2)
		expired := c.confirm(t.Context(), 3, wechatws.ExpireAfter(time.Minute))
		w.sleep(time.Second)
		require.Equal(t, 1, c.Stats().Queued)
		cause := errors.New("never mind")
		cancel(cause)
		require.ErrorIs(t, <-a, cause)
		require.ErrorIs(t, <-b, cause)
		require.ErrorIs(t, <-expired, wechatws.ErrExpired)
		require.Equal(t, time.Minute+time.Millisecond, w.since().Round(time.Millisecond))
		require.Zero(t, c.Stats().Queued)
		c.close()
	})
}

func TestSendConfirmedIsBounded(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(3, 1000, wechatws.QueueDropOldest))...)
		for n := range 3 {
			c.confirm(t.Context(), n)
			w.sleep(time.Millisecond)
		}
		_, err := c.SendConfirmed(t.Context(), 4, echoOf("4"))
		require.ErrorIs(t, err, wechatws.ErrQueueFull)
		require.ErrorContains(t, err, "3 messages, 3 bytes wait for their confirmation")
		c.send("a", "b", "c", "d") // drops the oldest, but not the one that is to be confirmed
		w.echo()
		c.connect()
		w.sleep(time.Second)
		require.Equal(t, "0", received(w.conn())[0])
		_, err = c.SendConfirmed(t.Context(), strings.Repeat("x", 2000), func(wechatws.Message) bool { return true })
		require.NoError(t, err, "one is always accepted")
		c.close()
	})
}

// It waits for a connection also without a queue.
func TestSendConfirmedWithoutAQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.echo()
		c := w.client(append(quiet(), wechatws.WithQueue(0, 0, wechatws.QueueFail))...)
		done := c.confirm(t.Context(), 1)
		w.sleep(time.Second)
		c.connect()
		require.NoError(t, <-done)
		c.close()
	})
}

func TestSendConfirmedInsideACallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.echo()
		c := w.client(quiet()...)
		result := make(chan error, 1)
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) {
			_, err := c.SendConfirmed(ctx, 1, echoOf("1"))
			result <- err
		})
		c.connect()
		require.NoError(t, <-result)
		c.close()
	})
}

func TestSendConfirmedMisuse(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		_, err := c.SendConfirmed(t.Context(), 1, nil)
		require.ErrorContains(t, err, "match must be a function")
		for _, d := range []time.Duration{-1, 0} {
			_, err = c.SendConfirmed(t.Context(), 1, echoOf("1"), wechatws.ConfirmTimeout(time.Second), wechatws.ConfirmTimeout(d))
			require.EqualError(t, err, fmt.Sprintf("wechatws: SendConfirmed: ConfirmTimeout(%v): must be longer than zero", d))
		}
		_, err = c.SendConfirmed(t.Context(), func() {}, echoOf("1"))
		require.ErrorContains(t, err, "cannot encode")
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.SendConfirmed(over, 1, echoOf("1"))
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestExpireAfter(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(3, 1000, wechatws.QueueFail))...)
		for i, d := range []time.Duration{time.Minute, time.Hour, time.Minute} {
			require.NoError(t, c.Send(t.Context(), i, wechatws.ExpireAfter(d)))
		}
		require.ErrorIs(t, c.Send(t.Context(), 3), wechatws.ErrQueueFull)
		w.sleep(time.Minute)
		require.NoError(t, c.Send(t.Context(), 3), "the expired make room")
		require.NoError(t, c.Send(t.Context(), wechatws.Text(`"4"`), wechatws.ExpireAfter(time.Minute)))
		w.sleep(2 * time.Minute)
		c.connect()
		c.flush()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"1", "3"}, received(w.conn()))
		var names []string
		for _, err := range c.errors() {
			var de *wechatws.DroppedError
			require.ErrorAs(t, err, &de)
			require.ErrorIs(t, err, wechatws.ErrExpired)
			for _, m := range de.Messages {
				names = append(names, string(m.Data))
			}
		}
		require.Equal(t, []string{"0", "2", `"4"`}, names)
		require.ErrorContains(t, c.errors()[0], "dropped: message has expired") // one report for both, or one for each
		c.close()
	})
}

// The error of a call that waits is returned, and not reported to OnError.
func TestFailFastThatHasExpired(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		require.ErrorIs(t, c.Send(t.Context(), 1, wechatws.FailFast(), wechatws.ExpireAfter(0)), wechatws.ErrExpired)
		w.sleep(time.Millisecond)
		require.Empty(t, c.errors())
		c.close()
	})
}

func TestFailFast(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		require.ErrorIs(t, c.Send(t.Context(), 1, wechatws.FailFast()), wechatws.ErrNotOpen)
		require.NoError(t, c.Send(t.Context(), 2))
		c.connect()
		require.NoError(t, c.Send(t.Context(), 3, wechatws.FailFast()))
		require.Zero(t, c.Stats().Queued, "it is written")
		conn := w.conn()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"2", "3"}, received(conn))

		// One that could not be written is not kept for the next connection.
		conn.StopReading()
		big := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
		result := make(chan error, 1)
		go func() { result <- c.Send(t.Context(), big, wechatws.FailFast()) }()
		w.sleep(time.Second)
		conn.Cut(wstest.RST)
		require.ErrorIs(t, <-result, wechatws.ErrNotOpen)
		require.Zero(t, c.Stats().Queued)
		c.close()
	})
}

func TestATimeoutWithoutAUnitIsAnError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		_, err := c.SendConfirmed(t.Context(), "x", isOfType("x"), wechatws.ConfirmTimeout(10))
		require.EqualError(t, err, "wechatws: SendConfirmed: ConfirmTimeout(10ns): must be at least 1ms; a number without a unit is nanoseconds")
		c.AfterConnect(10, func(context.Context, *wechatws.Setup) error { return nil })
		require.EqualError(t, c.Connect(t.Context()), "wechatws: AfterConnect(10ns): the timeout must be at least 1ms; a number without a unit is nanoseconds")
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}
