package liveroom_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

const secondInit = `{"msg_type":"init","client_id":"again"}`

// joins returns how many joins the server has received on a connection.
func joins(c *wstest.Conn) (n int) {
	for _, text := range sent(c) {
		if strings.HasPrefix(text, `{"msg_type":"join"`) {
			n++
		}
	}
	return n
}

// An init is answered on its connection or not at all: the next connection joins by itself.
func TestAStaleInitIsNotAnswered(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, w *world, v *visitor, conn *wstest.Conn){
		"behind a slow callback": func(t *testing.T, w *world, _ *visitor, conn *wstest.Conn) {
			require.NoError(t, conn.Send(`{"msg_type":"message","from_name":"b","content":"slow"}`))
			require.NoError(t, conn.Send(secondInit))
			w.sleep(100 * time.Millisecond)
			conn.Cut(wstest.FIN)
		},
		"behind a callback that outlasts the connection": func(t *testing.T, w *world, _ *visitor, conn *wstest.Conn) {
			require.NoError(t, conn.Send(`{"msg_type":"message","from_name":"b","content":"slower"}`))
			require.NoError(t, conn.Send(secondInit))
			w.sleep(100 * time.Millisecond)
			conn.Cut(wstest.FIN)
		},
		"behind a callback that ends with the wait for it": func(t *testing.T, w *world, _ *visitor, conn *wstest.Conn) {
			require.NoError(t, conn.Send(`{"msg_type":"message","from_name":"b","content":"as long"}`))
			require.NoError(t, conn.Send(secondInit))
			w.sleep(0)
			conn.Cut(wstest.FIN)
		},
		"while the queue is held": func(t *testing.T, w *world, _ *visitor, conn *wstest.Conn) {
			conn.Cut(wstest.FIN)
			conn = w.conn()
			w.sleep(0)
			require.NoError(t, conn.Send(secondInit))
			w.sleep(100 * time.Millisecond)
			conn.Cut(wstest.FIN)
		},
		"while the socket takes nothing": func(t *testing.T, w *world, v *visitor, conn *wstest.Conn) {
			conn.StopReading()
			v.say(strings.Repeat("x", 1<<20))
			w.sleep(time.Second)
			require.NoError(t, conn.Send(secondInit))
			require.NoError(t, conn.Send(`{"msg_type":"message","from_name":"b","content":"next"}`))
			w.sleep(time.Second)
			require.Equal(t, []string{"b: next"}, texts(v.Snapshot().Comments), "the callback does not wait for the socket")
			conn.Cut(wstest.RST)
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
				v := w.visitor(as("a"))
				v.OnComment(func(_ context.Context, c liveroom.Comment) {
					switch c.Content {
					case "slow":
						time.Sleep(time.Second)
					case "as long":
						time.Sleep(10 * time.Second)
					case "slower":
						time.Sleep(15 * time.Second)
					}
				})
				v.enter()
				end(t, w, v, w.conn())
				w.sleep(20 * time.Second)
				require.Equal(t, 1, joins(w.conn()))
				require.Empty(t, v.errors())
			})
		})
	}
}

// A server that sends inits without an end gets one join after the other, and nothing is left of them
// when the connection has ended.
func TestAFloodOfInits(t *testing.T) {
	const flood, few = 5_000, 10 // few: goroutines of the client and the server that come and go
	send := func(c *wstest.Conn) {
		for range flood {
			if c.Send(secondInit) != nil {
				return
			}
		}
	}
	for name, stop := range map[string]func(c *wstest.Conn){
		"that reads":         func(*wstest.Conn) {},
		"that stops reading": func(c *wstest.Conn) { c.StopReading() },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
				v := w.visitor(as("a")).enter()
				conn := w.conn()
				stop(conn)
				before := runtime.NumGoroutine()
				send(conn)
				w.sleep(time.Second)
				require.Less(t, runtime.NumGoroutine(), before+few)
				conn.Cut(wstest.RST)
				w.sleep(10 * time.Second)
				require.Equal(t, 1, joins(w.conn()))
				require.Less(t, runtime.NumGoroutine(), before+few)
				require.Empty(t, v.errors())
			})
		})
	}
	t.Run("in one of many rooms", func(t *testing.T) {
		virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
			rs := w.newRooms(liveroom.WithJoinRate(10))
			bad, err := rs.Add(t.Context(), numbered(0))
			require.NoError(t, err)
			w.sleep(time.Second)
			conn := w.conn()
			before := runtime.NumGoroutine()
			go send(conn)
			w.sleep(time.Minute)
			require.Less(t, runtime.NumGoroutine(), before+few)
			again := joins(conn)

			began := time.Now()
			for i := range 20 {
				_, err := rs.Add(t.Context(), numbered(1+i))
				require.NoError(t, err)
			}
			w.sleep(4200 * time.Millisecond)
			require.Equal(t, 21, rs.Stats().Joined)
			require.LessOrEqual(t, most(w.arrivals("join", began)), 10)
			require.LessOrEqual(t, again, 610)
			require.Equal(t, "again", bad.Snapshot().ClientID.String())

			conn.Cut(wstest.RST)
			w.sleep(10 * time.Second)
			require.Equal(t, 21, rs.Stats().Joined)
		})
	})
}
