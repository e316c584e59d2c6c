package liveroom_test

import (
	"context"
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
