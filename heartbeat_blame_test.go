package wechatws_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A server that ends each connection at the first heartbeat is reported once, whatever the close code,
// and again if it comes back after a connection that has lived longer.
func TestAServerThatEndsConnectionsAtAHeartbeat(t *testing.T) {
	for name, end := range map[string]func(conn *wstest.Conn){
		"FIN":   func(conn *wstest.Conn) { conn.Cut(wstest.FIN) },
		"reset": func(conn *wstest.Conn) { conn.Cut(wstest.RST) },
		"1000":  func(conn *wstest.Conn) { _ = conn.Close(1000, "") },
		"1011":  func(conn *wstest.Conn) { _ = conn.Close(1011, "KeyError") },
		"late": func(conn *wstest.Conn) {
			time.AfterFunc(900*time.Millisecond, func() { conn.Cut(wstest.FIN) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var accepts atomic.Int64
				w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
					if m.Text() == ping && int64(conn.ID()) != accepts.Load() {
						end(conn)
					}
				})
				c := w.client().connect()
				w.sleep(11 * time.Second)
				require.Len(t, c.ends(), 2)
				require.Empty(t, c.errors())
				w.sleep(time.Minute)
				require.Len(t, c.errors(), 1)
				assert.EqualError(t, c.errors()[0], "wechatws: the server has ended 3 connections in a row within 1s of the first heartbeat, "+
					"a text message of 19 bytes: if it does not accept that, WithHeartbeat sets another one, and WithoutHeartbeat none")
				accepts.Store(int64(c.Stats().Opens) + 1)
				w.sleep(20 * time.Second)
				require.EqualValues(t, accepts.Load(), c.Connection())
				w.srv.Conns()[accepts.Load()-1].Cut(wstest.FIN)
				w.sleep(time.Minute)
				require.Len(t, c.errors(), 2)
				_ = c.CloseNow()
				<-c.Done()
			})
		})
	}
}

// Connections that end otherwise are not blamed on the heartbeat: before it, long after it, right
// behind a later one, by the client itself, or as each second one.
func TestEndsThatAreNotBlamedOnAHeartbeat(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration // of the open connection; heartbeats are sent at 3 s, 6 s, …
		end   func(w *world, c *client, conn *wstest.Conn)
	}{
		"before":        {2900 * time.Millisecond, nil},
		"long after":    {4100 * time.Millisecond, nil},
		"at the second": {6001 * time.Millisecond, nil},
		"by Reconnect":  {3001 * time.Millisecond, func(_ *world, c *client, _ *wstest.Conn) { _ = c.Reconnect() }},
		"by Disconnect": {3001 * time.Millisecond, func(_ *world, c *client, conn *wstest.Conn) { _ = c.Disconnect(c.Connection(), assert.AnError) }},
		"each second one": {3001 * time.Millisecond, func(w *world, c *client, conn *wstest.Conn) {
			if c.Connection()%2 == 0 {
				w.sleep(5 * time.Second)
			}
			conn.Cut(wstest.FIN)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(wechatws.WithoutLiveness()).connect()
				for range 10 {
					conn := w.conn()
					w.sleep(tt.after)
					if tt.end == nil {
						conn.Cut(wstest.FIN)
					} else {
						tt.end(w, c, conn)
					}
				}
				require.Empty(t, c.errors())
				_ = c.CloseNow()
				<-c.Done()
			})
		})
	}
}
