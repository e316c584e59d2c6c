package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

// The bot makes a session, attaches to the plugin EchoTest, keeps the session alive, and
// makes another one when Janus was started again.
func TestASessionAndTheNextOne(t *testing.T) {
	server := janus(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+server.Addr) })
	first := bot.Expect("session: ")
	bot.Expect("echo: ok")
	bot.Expect("echo: ok")
	server.Expect("Got a keep-alive on session")

	server.Kill()
	server.Start()
	require.NotEqual(t, first, bot.Expect("session: "))
	bot.Expect("echo: ok")
	require.NoError(t, bot.Stop())
	require.Zero(t, bot.Count("error: "), "answers and events are no errors")
}
