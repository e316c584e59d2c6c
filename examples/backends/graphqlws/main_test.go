package main

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestBot(t *testing.T) {
	server := backend.Node(t, "server.mjs", filepath.Join(t.TempDir(), "events.json"))
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+server.Addr+"/graphql", "secret") })
	server.Expect(`subscribe events {"after":0}`)

	events := 0
	add := func(text string) { events++; server.Tell("add " + text) }
	hear := func(text string) { t.Helper(); bot.Expect(fmt.Sprintf("event %d: %s", events, text)) }
	for range 3 {
		add("hello")
		hear("hello")
	}

	// A request gets its answer, and events go on.
	add("repeat what")
	hear("repeat what")
	events++
	for range 2 { // the event and the answer, in any order
		bot.Expect("event 5")
	}
	add("repeat ")
	hear("repeat ")
	bot.Expect("error: an event needs a text") // before the server is killed

	server.Tell("ping")
	server.Expect("pong")

	// What is added while the bot is away comes with the subscription of the next connection.
	server.Kill()
	server.Start()
	add("while you were away")
	server.Expect(`subscribe events {"after":6}`)
	hear("while you were away")
	add("hello again")
	hear("hello again")
	for n := 1; n <= events; n++ {
		require.Equal(t, 1, bot.Count(fmt.Sprintf("event %d:", n)), "event %d", n)
	}

	require.Equal(t, 1, bot.Count("event 5: what"))
	require.Equal(t, 1, bot.Count("added event 5, error: <nil>"))
	require.Equal(t, 2, bot.Count("added event"), "one answer to each mutation")

	subscriptions := server.Count("subscribe events")
	server.Tell("close 4403")
	var closed *wechatws.CloseError
	require.ErrorAs(t, bot.Wait(), &closed)
	require.EqualValues(t, 4403, closed.Code)
	require.Equal(t, subscriptions, server.Count("subscribe events"))
}

func TestWrongToken(t *testing.T) {
	server := backend.Node(t, "server.mjs", filepath.Join(t.TempDir(), "events.json"))
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+server.Addr+"/graphql", "wrong") })
	require.ErrorContains(t, bot.Wait(), "4403")
}
