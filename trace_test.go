package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A tracer writes down all that it is told, with the time.
type tracer struct {
	start time.Time
	mu    sync.Mutex
	log   []string
}

func (t *tracer) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = append(t.log, fmt.Sprintf("%v ", time.Since(t.start))+fmt.Sprintf(format, args...))
}

func (t *tracer) trace() wechatws.Trace {
	return wechatws.Trace{
		DialStart: func(e wechatws.DialStart) { t.note("dial %d", e.Attempt) },
		DialDone: func(e wechatws.DialDone) {
			t.note("dialled %d: %v, %v", e.Attempt, e.Timings.Total, e.Err)
		},
		Open:  func(e wechatws.OpenEvent) { t.note("open %d", e.Connection) },
		Close: func(e wechatws.CloseEvent) { t.note("close %d: %d", e.Connection, e.Code) },
		Retry: func(e wechatws.StateChange) { t.note("%v to %v: %d in %v", e.From, e.To, e.Attempt, e.RetryIn) },
		Ping:  func(e wechatws.Ping) { t.note("ping %d", e.Connection) },
		Pong:  func(e wechatws.Pong) { t.note("pong %d %v", e.Connection, e.RTT) },
		MessageIn: func(e wechatws.MessageIn) {
			t.note("in %d %q %v %d %v", e.Connection, e.Type, e.Binary, e.Size, e.Waited)
		},
		Callback: func(e wechatws.CallbackDone) { t.note("ran %d %q %v", e.Connection, e.Type, e.Took) },
		MessageOut: func(e wechatws.MessageOut) {
			t.note("out %d %v %d %v", e.Connection, e.Binary, e.Size, e.Waited)
		},
		Dropped: func(e wechatws.Dropped) { t.note("dropped %s: %v", e.Message.Data, e.Err) },
	}
}

func TestTrace(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(10 * time.Millisecond)
		one, two := &tracer{start: w.start}, &tracer{start: w.start}
		c := w.client(wechatws.WithoutHeartbeat(), wechatws.WithQueue(1, 1000, wechatws.QueueDropOldest),
			wechatws.WithTrace(one.trace(), wechatws.Trace{}, two.trace()))
		wechatws.On(c.Client, "x", func(context.Context, struct{}) { time.Sleep(time.Second) })
		w.srv.Answer(wstest.Status(502, nil, "no"))
		c.send("lost", "kept")
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		require.NoError(t, conn.SendBinary([]byte("yy")))
		w.sleep(3500 * time.Millisecond)
		require.NoError(t, conn.Close(4001, ""))
		w.sleep(time.Second)
		c.close()
		require.ElementsMatch(t, []string{ // the order within an instant is open
			"0s dropped lost: wechatws: outbound queue is full",
			"0s dial 1",
			`20ms dialled 1: 20ms, wechatws: handshake server.test:80: server answered 502 Bad Gateway`,
			"20ms connecting to waiting: 2 in 3s",
			"3.02s dial 2",
			"3.04s dialled 2: 20ms, <nil>",
			"3.04s open 1",
			"3.04s out 1 false 4 3.04s",
			`3.05s in 1 "x" false 16 0s`,
			`4.05s ran 1 "x" 1s`,
			`4.05s in 1 "" true 2 1s`,
			`4.05s ran 1 "" 0s`,
			"6.04s ping 1",
			"6.06s pong 1 20ms",
			"6.55s close 1: 4001",
			"6.55s open to waiting: 3 in 3s",
		}, one.log)
		require.Equal(t, len(one.log), len(two.log))
	})
}

// What is told may look at the client, and its panics are reported.
func TestTraceMayAskAndPanic(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var c *client
		var opens atomic.Int64
		look := func() { opens.Store(int64(c.Stats().Opens)); _ = c.State(); panic("oops") }
		c = w.client(wechatws.WithTrace(wechatws.Trace{
			DialStart: func(wechatws.DialStart) { look() }, DialDone: func(wechatws.DialDone) { look() },
			Open: func(wechatws.OpenEvent) { look() }, Close: func(wechatws.CloseEvent) { look() },
			Retry: func(wechatws.StateChange) { look() },
			Ping:  func(wechatws.Ping) { look() }, Pong: func(wechatws.Pong) { look() },
			MessageIn: func(wechatws.MessageIn) { look() }, MessageOut: func(wechatws.MessageOut) { look() },
			Callback: func(wechatws.CallbackDone) { look() }, Dropped: func(wechatws.Dropped) { look() },
		}), wechatws.WithQueue(1, 1000, wechatws.QueueDropOldest))
		c.send("lost", "kept")
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(4 * time.Second)
		conn.Cut(wstest.FIN)
		w.sleep(time.Second)
		require.EqualValues(t, 1, opens.Load())
		panics := 0
		for _, err := range c.errors() {
			if pe := (*wechatws.PanicError)(nil); errors.As(err, &pe) {
				panics++
			}
		}
		require.Equal(t, 11, panics, "each of the functions once: %v", c.errors())
		c.close()
	})
}
