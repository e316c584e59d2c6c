package main

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRecipe(t *testing.T) {
	recipetest.Documented(t, "heartbeat", recipetest.Virtual(t, run))
}

const every = 20 * time.Second

// open runs a test of a connected client in virtual time; told is what its callbacks
// were told.
func open(t *testing.T, test func(t *testing.T, srv *server, conn *wstest.Conn, c *wechatws.Client, told *recipetest.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer()
		defer srv.Close()
		c, err := newClient(srv.URL(), every, srv.demo()...)
		require.NoError(t, err)
		var told recipetest.Buffer
		c.OnMessage(func(_ context.Context, m wechatws.Message) { fmt.Fprintln(&told, m.Type) })
		c.OnClose(func(_ context.Context, e wechatws.CloseEvent) { fmt.Fprintln(&told, e.Err) })
		require.NoError(t, c.Connect(t.Context()))
		defer c.Close(wechatws.StatusNormalClosure, "")
		conn, err := srv.NextConn(t.Context())
		require.NoError(t, err)
		test(t, srv, conn, c, &told)
	})
}

// A server that knows no pings would be dropped after 10 s without Pong.
func TestAnAfternoonOfHeartbeats(t *testing.T) {
	open(t, func(t *testing.T, _ *server, conn *wstest.Conn, c *wechatws.Client, told *recipetest.Buffer) {
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		require.Zero(t, c.Stats().Disconnects.Total())
		require.Zero(t, conn.Pings())
		beats := conn.Received()
		require.Len(t, beats, int(4*time.Hour/every))
		for _, m := range beats {
			var b beat
			require.NoError(t, json.Unmarshal(m.Data, &b))
			require.Equal(t, m.At.UnixMilli(), b.Sent, "made when it is sent")
		}
		require.Equal(t, "hello\n", told.String(), "the answers reach no callback")
	})
}

func TestTheRoundTripIsThatOfTheHeartbeat(t *testing.T) {
	open(t, func(t *testing.T, srv *server, _ *wstest.Conn, c *wechatws.Client, _ *recipetest.Buffer) {
		srv.network.SetLatency(50 * time.Millisecond)
		time.Sleep(every + time.Second)
		require.Equal(t, 100*time.Millisecond, c.Stats().RTT)
	})
}

func TestOneAnswerMayBeLost(t *testing.T) {
	open(t, func(t *testing.T, srv *server, _ *wstest.Conn, c *wechatws.Client, _ *recipetest.Buffer) {
		time.Sleep(every / 2) // between two heartbeats
		for range 10 {
			srv.hang(true)
			time.Sleep(every)
			srv.hang(false)
			time.Sleep(every)
		}
		require.Zero(t, c.Stats().Disconnects.Total())
	})
}

func TestASilentServerIsDroppedInTime(t *testing.T) {
	open(t, func(t *testing.T, srv *server, conn *wstest.Conn, c *wechatws.Client, told *recipetest.Buffer) {
		time.Sleep(every + time.Second) // the last answer was a second ago
		srv.hang(true)
		time.Sleep(5*every/2 - time.Second - time.Millisecond)
		synctest.Wait()
		require.Zero(t, c.Stats().Disconnects.HalfOpen)
		time.Sleep(time.Second)
		require.Equal(t, 1, c.Stats().Disconnects.HalfOpen)
		require.Contains(t, told.String(), "half-open")
		srv.hang(false)
		time.Sleep(time.Minute)
		require.Equal(t, wechatws.StateOpen, c.State())
	})
}
