package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/centrifugal/centrifuge"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestBot(t *testing.T) {
	first := newServer(t)
	web := backend.Serve(t, first.handler())
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+web.Addr, "secret") })

	<-first.connected
	n := 0
	heard := func(s *server) {
		t.Helper()
		n++
		s.publish(n)
		bot.Expect(fmt.Sprintf("news: %q", fmt.Sprint("text ", n)))
		bot.Expect(fmt.Sprint("upper: TEXT ", n)) // the server's answer to the bot's RPC
	}
	for range 3 {
		heard(first)
	}

	// What is published while the bot is away is recovered, once and in order.
	web.Cut()
	require.Equal(t, uint32(3000), (<-first.disconnects).Code)
	for range 3 {
		n++
		first.publish(n)
	}
	<-first.connected
	heard(first)

	// A new server has another history, with an epoch of its own.
	web.Kill()
	second := newServer(t)
	n++
	second.publish(n) // lost: the protocol cannot recover across epochs
	web.Start(second.handler())
	client := <-second.connected
	heard(second)
	heard(second)

	for i := 1; i <= n; i++ {
		want := 1
		if i == n-2 {
			want = 0
		}
		require.Equal(t, want, bot.Count(fmt.Sprintf("news: %q", fmt.Sprint("text ", i))), "publication %d", i)
	}

	client.Disconnect(centrifuge.DisconnectForceNoReconnect)
	var closed *wechatws.CloseError
	require.ErrorAs(t, bot.Wait(), &closed)
	require.EqualValues(t, 3503, closed.Code)
	require.Empty(t, second.connected)
}

func TestWrongToken(t *testing.T) {
	web := backend.Serve(t, newServer(t).handler())
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+web.Addr, "wrong") })
	require.ErrorContains(t, bot.Wait(), "3500")
}
