package wechatws_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// beats are the times at which the server has received messages of a connection, with their data.
func (w *world) beats(conn *wstest.Conn) (beats []string) {
	for _, m := range conn.Received() {
		beats = append(beats, fmt.Sprint(m.At.Sub(w.start), " ", m.Binary, " ", m.Text()))
	}
	return beats
}

// Each connection has the heartbeat that its AfterConnect function has set, which replaces all of
// that of the option; a connection without one has that of the option.
func TestSetHeartbeat(t *testing.T) {
	isAck := func(m wechatws.Message) bool { return m.Type == "ack" }
	for name, tt := range map[string]struct {
		set  *wechatws.Heartbeat
		want []string // within 10 s
	}{
		"not set": {nil, []string{"1s false every 4s", "5s false every 4s", "9s false every 4s"}},
		"none":    {&wechatws.Heartbeat{Message: "x", Pong: isAck}, nil},
		"the default": {&wechatws.Heartbeat{Interval: 6 * time.Second}, []string{
			"6s false " + ping,
		}},
		"text": {&wechatws.Heartbeat{Interval: 5 * time.Second, First: 2 * time.Second, Message: wechatws.Text("2")}, []string{
			"2s false 2", "7s false 2",
		}},
		"binary": {&wechatws.Heartbeat{Interval: 9 * time.Second, Message: wechatws.Binary{0xc0, 0}}, []string{
			"9s true \xc0\x00",
		}},
		"made": {&wechatws.Heartbeat{Interval: 8 * time.Second, NewMessage: func(connection int) (any, error) { return connection, nil }}, []string{
			"8s false 1",
		}},
		"answered": {&wechatws.Heartbeat{Interval: 8 * time.Second, Pong: isAck}, []string{"8s false " + ping}},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(wechatws.WithLiveness(wechatws.Liveness{Interval: time.Hour, Timeout: 2 * time.Hour}),
					wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 4 * time.Second, First: time.Second, Message: wechatws.Text("every 4s")}))
				c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
					if tt.set == nil || o.Connection > 1 {
						return nil
					}
					return o.SetHeartbeat(*tt.set)
				})
				c.connect()
				first := w.conn()
				w.sleep(10 * time.Second)
				assert.Equal(t, tt.want, w.beats(first))
				first.Cut(wstest.FIN)
				w.sleep(3*time.Second + 2*time.Second)
				assert.Equal(t, []string{"14s false every 4s"}, w.beats(w.conn()), "the next connection")
				c.close()
			})
		})
	}
}

func TestSetHeartbeatRefusesWrongValues(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var left *wechatws.Setup
		c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
			left = o
			for want, h := range map[string]wechatws.Heartbeat{
				`wechatws: Setup.SetHeartbeat(-1s): the interval must be longer than zero; WithoutHeartbeat switches it off`: {Interval: -time.Second},
				`wechatws: Setup.SetHeartbeat(first -1s): must not be negative`:                                              {Interval: time.Second, First: -time.Second},
				`wechatws: Setup.SetHeartbeat(interval 41ns): must be at least 1ms; a number without a unit is nanoseconds`:  {Interval: 41},
				`wechatws: Setup.SetHeartbeat(Message and NewMessage): give one of the two`: {
					Message: 1, NewMessage: func(int) (any, error) { return 1, nil }},
				`wechatws: Setup.SetHeartbeat(func()): cannot encode func(): json: unsupported type: func()`: {Interval: time.Second, Message: func() {}},
			} {
				var wrong *wechatws.OptionError
				err := o.SetHeartbeat(h)
				assert.EqualError(t, err, want)
				assert.ErrorAs(t, err, &wrong)
			}
			return nil
		})
		c.connect()
		require.Error(t, left.SetHeartbeat(wechatws.Heartbeat{Interval: time.Second}), "the connection is open")
		c.close()
	})
}

// A heartbeat that waits for the socket has the content of the time at which it is written.
func TestAHeartbeatIsMadeWhenItIsWritten(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var last atomic.Int64
		c := w.client(wechatws.WithoutLiveness(), wechatws.WithHeartbeat(wechatws.Heartbeat{
			NewMessage: func(connection int) (any, error) { return []int64{int64(connection), last.Load()}, nil },
		})).connect()
		conn := w.conn()
		conn.StopReading()
		c.send(strings.Repeat("x", 1<<20))
		w.sleep(5 * time.Second)
		last.Store(50)
		conn.ResumeReading()
		w.sleep(0)
		require.Equal(t, "[1,50]", conn.Received()[1].Text(), "due after 3 s, written after 5 s")
		c.close()
	})
}

// A server that answers heartbeats which are further apart than the timeout is not half-open; one that
// does not answer is, one timeout after the next heartbeat would have been due.
func TestPongWithAnIntervalAboveTheTimeout(t *testing.T) {
	isAck := func(m wechatws.Message) bool { return m.Type == "ack" }
	beat := wechatws.Heartbeat{Interval: 41 * time.Second, First: 20 * time.Second, Pong: isAck}
	for _, dictated := range []bool{false, true} {
		t.Run(fmt.Sprint("dictated ", dictated), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var silent atomic.Bool
				w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
					if !silent.Load() {
						_ = conn.Send(`{"msg_type":"ack"}`)
					}
				})
				option := wechatws.WithHeartbeat(beat)
				if dictated {
					option = wechatws.WithoutHeartbeat()
				}
				c := w.client(option)
				c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
					if !dictated {
						return nil
					}
					return o.SetHeartbeat(beat)
				})
				c.connect()
				conn := w.conn()
				w.sleep(20*time.Second + 5*41*time.Second + time.Second)
				require.Empty(t, c.ends())
				require.Len(t, conn.Received(), 6)
				silent.Store(true)
				w.sleep(41*time.Second + 8*time.Second)
				require.Empty(t, c.ends())
				w.sleep(2 * time.Second)
				require.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
				c.close()
			})
		})
	}
}

// An answer may take its time also if the heartbeats are hardly closer than the timeout; and the wait for
// the first one makes later silence no longer.
func TestPongAndTheTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		beat  wechatws.Heartbeat
		found time.Duration // after the peer has fallen silent, at most
	}{
		"interval near the timeout": {wechatws.Heartbeat{Interval: 9 * time.Second}, 19 * time.Second},
		"long wait for the first":   {wechatws.Heartbeat{Interval: 3 * time.Second, First: time.Minute}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var silent atomic.Bool
				w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
					time.Sleep(2 * time.Second)
					if !silent.Load() {
						_ = conn.Send(`{"msg_type":"ack"}`)
					}
				})
				tt.beat.Pong = func(m wechatws.Message) bool { return m.Type == "ack" }
				c := w.client(wechatws.WithHeartbeat(tt.beat)).connect()
				w.sleep(5 * time.Minute)
				require.Empty(t, c.ends())
				silent.Store(true)
				w.sleep(tt.found)
				require.Len(t, c.ends(), 1)
				require.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
				c.close()
			})
		})
	}
}

func TestConnectionIsThatWhichIsOpen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
			assert.Zero(t, c.Connection(), "not open yet")
			return nil
		})
		require.Zero(t, c.Connection())
		c.connect()
		for n := 1; n <= 3; n++ {
			require.Equal(t, n, c.Connection())
			w.conn().Cut(wstest.FIN)
			w.sleep(0)
			require.Zero(t, c.Connection())
			w.sleep(3 * time.Second)
		}
		c.close()
		require.Zero(t, c.Connection())
	})
}
