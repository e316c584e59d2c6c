package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

const ping = `{"msg_type":"ping"}`

func TestHeartbeat(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithLoginMessage("login")).connect()
		first := w.conn()
		w.sleep(10 * time.Second)
		var at []time.Duration
		for i, m := range first.Received() {
			assert.False(t, m.Binary)
			assert.Equal(t, map[bool]string{true: `"login"`, false: ping}[i == 0], m.Text())
			at = append(at, m.At.Sub(w.start))
		}
		assert.Equal(t, []time.Duration{0, 3 * time.Second, 6 * time.Second, 9 * time.Second}, at)

		first.Cut(wstest.FIN)
		w.sleep(3*time.Second + 8*time.Second)
		assert.Len(t, received(first), 4, "it stops with the link")
		assert.Equal(t, []string{`"login"`, ping, ping}, received(w.conn()), "and starts afresh")
		c.close()
	})
}

func TestHeartbeatOptions(t *testing.T) {
	n := 0
	for name, tt := range map[string]struct {
		options []wechatws.Option
		want    []string
	}{
		"off":        {[]wechatws.Option{wechatws.WithoutHeartbeat()}, nil},
		"interval":   {[]wechatws.Option{wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 8 * time.Second})}, []string{ping}},
		"type field": {[]wechatws.Option{wechatws.WithTypeField("cmd")}, []string{`{"cmd":"ping"}`, `{"cmd":"ping"}`, `{"cmd":"ping"}`}},
		"message":    {[]wechatws.Option{wechatws.WithHeartbeat(wechatws.Heartbeat{Message: []int{1}})}, []string{"[1]", "[1]", "[1]"}},
		"fresh message": {[]wechatws.Option{wechatws.WithHeartbeat(wechatws.Heartbeat{NewMessage: func(int) (any, error) {
			switch n++; n {
			case 2:
				return nil, errors.New("not now")
			case 3:
				panic("oops")
			}
			return n, nil
		}, Interval: 2 * time.Second})}, []string{"1", "4", "5"}},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(tt.options...).connect()
				w.sleep(11 * time.Second)
				assert.Equal(t, tt.want, received(w.conn()))
				if name == "fresh message" {
					assert.Len(t, c.errors(), 2)
				}
				c.close()
			})
		})
	}
}

// Heartbeats that cannot be written are skipped: at most one waits.
func TestHeartbeatNeverQueuesUp(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithoutLiveness(), wechatws.WithQueue(1000, 10<<20, wechatws.QueueFail)).connect()
		conn := w.conn()
		conn.StopReading()
		for range 4 {
			c.send(strings.Repeat("x", 64<<10))
		}
		w.sleep(time.Minute)
		conn.ResumeReading()
		w.sleep(0)
		pings := 0
		for _, text := range received(conn) {
			if text == ping {
				pings++
			}
		}
		assert.Equal(t, 1, pings)
		w.sleep(3 * time.Second)
		assert.Equal(t, ping, received(conn)[len(received(conn))-1], "and goes on")
		c.close()
	})
}

// A queue that is written slowly does not delay the heartbeat.
func TestHeartbeatGoesBeforeTheQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithQueue(1000, 10<<20, wechatws.QueueFail)).connect()
		conn := w.conn()
		conn.StopReading()
		for range 20 {
			c.send(strings.Repeat("x", 64<<10))
		}
		w.sleep(4 * time.Second)
		conn.ResumeReading()
		w.sleep(0)
		at := -1
		for i, text := range received(conn) {
			if text == ping {
				at = i
			}
		}
		assert.Positive(t, at)
		assert.Less(t, at, 10, "only what was being written is in front of it")
		c.close()
	})
}

func TestHalfOpenIsFoundWithinTheTimeout(t *testing.T) {
	for _, quietServer := range []bool{false, true} {
		t.Run(fmt.Sprint("quiet server ", quietServer), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client().connect()
				conn := w.conn()
				w.sleep(time.Minute)
				require.Equal(t, wechatws.StateOpen, c.State(), "pongs are life")
				require.GreaterOrEqual(t, conn.Pings(), 19)
				if !quietServer {
					require.NoError(t, conn.Send(`{}`))
				}
				w.sleep(time.Second)
				before := w.since()
				conn.Blackhole(true)
				w.conn() // the next one
				took := w.since() - before - 3*time.Second
				assert.LessOrEqual(t, took, 10*time.Second)
				assert.GreaterOrEqual(t, took, 7*time.Second)
				e := c.lastClose()
				assert.ErrorIs(t, e.Err, wechatws.ErrHalfOpen)
				assert.Equal(t, wechatws.StatusAbnormalClosure, e.Code)
				assert.False(t, e.Remote)
				c.close()
			})
		})
	}
}

func TestAnOutageOfFourSecondsIsSurvived(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		for range 10 {
			w.sleep(7 * time.Second)
			w.net.Down()
			w.sleep(4 * time.Second)
			w.net.Up()
		}
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.Equal(t, 1, c.Stats().Opens)
		c.close()
	})
}

func TestBytesOfAnUnfinishedMessageAreNotSilence(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().record().connect()
		conn := w.conn()
		conn.IgnorePings(true)
		// One text frame of 100 bytes, a byte every 5 s.
		payload := `{"msg_type":"slow","x":"` + strings.Repeat("x", 74) + `"}`
		require.Len(t, payload, 100)
		require.NoError(t, conn.WriteRaw([]byte{0x81, 100}))
		for i := range payload {
			w.sleep(5 * time.Second)
			require.NoError(t, conn.WriteRaw([]byte{payload[i]}), "byte %d", i)
		}
		w.sleep(0)
		assert.Equal(t, []string{payload}, c.texts())
		assert.Equal(t, 1, c.Stats().Opens)
		w.sleep(11 * time.Second)
		assert.NotEqual(t, wechatws.StateOpen, c.State(), "and then it is silent")
		c.close()
	})
}

func TestASlowPeerThatReadsIsNotHalfOpen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithQueue(1000, 64<<20, wechatws.QueueFail)).connect()
		conn := w.conn()
		conn.IgnorePings(true)
		conn.ReadSlowly(2000)
		for range 20 {
			c.send(strings.Repeat("x", 64<<10))
		}
		w.sleep(5 * time.Minute) // of 11 that it takes, and not a byte back
		assert.Equal(t, 1, c.Stats().Opens)
		conn.StopReading()
		w.sleep(12 * time.Second)
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen, "until it takes no more")
		_ = c.Close(1000, "")
	})
}

// While a callback blocks and the inbox is full, nothing is read, and the peer's silence does
// not count.
func TestABusyCallbackIsNotSilence(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		busy := true
		c.OnMessage(func(context.Context, wechatws.Message) {
			if busy {
				busy = false
				time.Sleep(5 * time.Minute)
			}
		})
		c.connect()
		conn := w.conn()
		go func() {
			for n := range 2000 {
				if conn.Send(fmt.Sprintf(`{"msg_type":"n","n":%d,"pad":%q}`, n, strings.Repeat("x", 500))) != nil {
					return
				}
			}
		}()
		w.sleep(4 * time.Minute)
		assert.Equal(t, wechatws.StateOpen, c.State())
		beats := 0
		for _, text := range received(conn) {
			if text == ping {
				beats++
			}
		}
		assert.Equal(t, 80, beats, "the heartbeat goes on")
		w.sleep(2 * time.Minute)
		assert.Equal(t, 1, c.Stats().Opens)
		conn.Blackhole(true)
		w.sleep(11 * time.Second)
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen, "afterwards silence is silence again")
		c.close()
	})
}

func TestRTT(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(40 * time.Millisecond)
		c := w.client().connect()
		assert.Zero(t, c.Stats().RTT)
		w.sleep(4 * time.Second)
		assert.Equal(t, 80*time.Millisecond, c.Stats().RTT)
		assert.Equal(t, 80*time.Millisecond, c.Stats().SmoothedRTT)
		w.net.SetLatency(120 * time.Millisecond)
		w.sleep(3 * time.Second)
		assert.Equal(t, 240*time.Millisecond, c.Stats().RTT)
		assert.Equal(t, 100*time.Millisecond, c.Stats().SmoothedRTT)
		c.close()
	})
}

// Some servers answer in JSON and never to protocol pings.
func TestApplicationPong(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(50 * time.Millisecond)
		var frozen atomic.Bool
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
			if !frozen.Load() && m.Text() == ping {
				_ = c.Send(`{"msg_type":"pong"}`)
			}
		})
		c := w.client(wechatws.WithHeartbeat(wechatws.Heartbeat{Pong: func(m wechatws.Message) bool { return m.Type == "pong" }})).record().connect()
		conn := w.conn()
		conn.IgnorePings(true)
		w.sleep(5 * time.Minute)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.Equal(t, 1, c.Stats().Opens)
		assert.Equal(t, 100*time.Millisecond, c.Stats().RTT)
		assert.Zero(t, conn.Pings(), "no protocol pings")
		assert.Empty(t, c.texts(), "pongs reach no callback")
		frozen.Store(true)
		w.sleep(12 * time.Second)
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
		c.close()
	})
}

// With Pong there are no pings: the timeout must be longer than the interval of the heartbeats,
// not of the pings.
func TestPongWithATimeoutShorterThanThePings(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(
			wechatws.WithLiveness(wechatws.Liveness{Timeout: 2 * time.Second}), // the interval's default is 3 s
			wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Second, Pong: func(m wechatws.Message) bool { return m.Type == "pong" }})).connect()
		conn := w.conn()
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(`{"msg_type":"pong"}`) })
		w.sleep(time.Minute + time.Second/2)
		require.Equal(t, 1, c.Stats().Opens)
		require.Zero(t, conn.Pings())
		w.srv.OnMessage(nil) // it answers no more
		w.sleep(2 * time.Second)
		require.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
		c.close()
	})
}

func TestAProbeByApplicationPong(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		monitor := newFakeNetwork(true)
		var frozen atomic.Bool
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
			if !frozen.Load() {
				_ = c.Send(`{"msg_type":"pong"}`)
			}
		})
		c := w.client(wechatws.WithNetworkMonitor(monitor),
			wechatws.WithHeartbeat(wechatws.Heartbeat{Pong: func(m wechatws.Message) bool { return m.Type == "pong" }})).connect()
		conn := w.conn()
		w.sleep(time.Second)
		monitor.set(true)
		w.sleep(0)
		assert.Equal(t, []string{ping}, received(conn), "a heartbeat at once")
		w.sleep(time.Minute)
		assert.Equal(t, 1, c.Stats().Opens)
		frozen.Store(true)
		monitor.set(true)
		w.sleep(5 * time.Second)
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
		c.close()
	})
}

func TestWithoutLivenessSilenceDoesNotCount(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithoutLiveness()).connect()
		conn := w.conn()
		conn.Blackhole(true)
		w.sleep(time.Hour)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.Zero(t, conn.Pings())
		c.close()
	})
}

// The timers of many connections in one process share instants. None is late by more than 50 ms,
// and the delays do not add up.
func TestHeartbeatsOfManyConnections(t *testing.T) {
	const n, interval, late = 100, 3 * time.Second, 50 * time.Millisecond
	virtual(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		beats := map[int][]time.Duration{} // since the open
		opened := map[int]time.Time{}
		instants := map[time.Time]int{}
		w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) {
			mu.Lock()
			defer mu.Unlock()
			beats[conn.ID()] = append(beats[conn.ID()], time.Since(opened[conn.ID()]))
			instants[time.Now()]++
		})
		for range n {
			c := w.client().connect()
			defer c.close()
			mu.Lock()
			opened[w.conn().ID()] = time.Now()
			mu.Unlock()
			w.sleep(time.Millisecond)
		}
		w.sleep(10*interval - n*time.Millisecond - time.Nanosecond)
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, beats, n)
		for id, times := range beats {
			for i, at := range times {
				due := time.Duration(i+1) * interval
				require.GreaterOrEqual(t, at, due, "connection %d", id)
				require.LessOrEqual(t, at, due+late, "connection %d", id)
			}
			require.GreaterOrEqual(t, len(times), 9)
		}
		require.Less(t, len(instants), n, "the first is on the instant, nearly all others share some")
	})
}

// A server whose application hangs answers pings and sends nothing else. The connection is
// not half-open.
func TestAPeerThatOnlyAnswersPings(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		w.sleep(time.Hour)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Equal(t, 1, c.Stats().Opens)
		require.Empty(t, c.errors())
		c.close()
	})
}

func TestAHeartbeatMayBeAnsweredWithoutAType(t *testing.T) {
	for name, answer := range map[string]func(*wstest.Conn) error{
		"JSON":   func(c *wstest.Conn) error { return c.Send(`{}`) },
		"text":   func(c *wstest.Conn) error { return c.Send("pong") },
		"binary": func(c *wstest.Conn) error { return c.SendBinary([]byte("pong")) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.net.SetLatency(10 * time.Millisecond)
				w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) { _ = answer(conn) })
				pong := func(m wechatws.Message) bool {
					return m.Type == "" && (string(m.Data) == "{}" || string(m.Data) == "pong")
				}
				c := w.client(wechatws.WithHeartbeat(wechatws.Heartbeat{Pong: pong})).connect()
				w.conn()
				w.sleep(10 * time.Second)
				assert.Equal(t, 20*time.Millisecond, c.Stats().RTT)
				assert.Empty(t, c.errors())
				c.close()
			})
		})
	}
}
