package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestBot(t *testing.T) {
	server := backend.Node(t, "server.cjs")
	bot := backend.Run(t, func(ctx context.Context) error {
		return run(ctx, "ws://"+server.Addr+"/satori/v1/events", "secret")
	})
	bot.Expect("ready: bot") // the user's name of the first login in READY
	said := 0
	hear := func() {
		t.Helper()
		said++
		server.Tell(fmt.Sprint("say text ", said))
		bot.Expect(fmt.Sprint("message: text ", said))
	}
	for range 3 {
		hear()
	}
	server.Expect(`received {"op":1`) // Satori asks for a heartbeat every 10 s

	// The events of the time away cannot come again: the server keeps none. But the bot asks for
	// those after the last one that it has received.
	server.Kill()
	server.Start()
	server.Expect(`"sequence":`)
	bot.Expect("ready: bot")
	for range 3 {
		hear()
	}
	for i := 1; i <= said; i++ {
		require.Equal(t, 1, bot.Count(fmt.Sprint("message: text ", i)), "message %d", i)
	}

	connections := server.Count("connected")
	server.Tell("close 4004") // as for a token that is revoked
	require.ErrorContains(t, bot.Wait(), "4004")
	require.Equal(t, connections, server.Count("connected"))
}

func TestWrongToken(t *testing.T) {
	server := backend.Node(t, "server.cjs")
	bot := backend.Run(t, func(ctx context.Context) error {
		return run(ctx, "ws://"+server.Addr+"/satori/v1/events", "wrong")
	})
	require.ErrorContains(t, bot.Wait(), "4004")
	require.Equal(t, 1, server.Count("connected"))
}
