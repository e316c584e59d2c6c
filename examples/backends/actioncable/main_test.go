package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func start(t *testing.T) (s *backend.Process, post func(path string)) {
	s = backend.Start(t, "Use Ctrl-C to stop", "puma", "-e", "production", "-b", "tcp://{addr}", "-t", "0:8", "config.ru")
	return s, func(path string) {
		t.Helper()
		response, err := http.Post("http://"+s.Addr+path, "", nil)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusNoContent, response.StatusCode)
	}
}

func TestSubscriptionSurvivesARestartAndABanIsObeyed(t *testing.T) {
	s, post := start(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+s.Addr+"/cable?user=bot") })
	bot.Expect("subscribed")
	post("/say?text=ping")
	bot.Expect("heard: ping")
	bot.Expect("heard: pong")

	s.Kill()
	s.Start()
	bot.Expect("subscribed")
	post("/say?text=ping")
	bot.Expect("heard: ping")
	bot.Expect("heard: pong")

	post("/ban")
	require.ErrorContains(t, bot.Wait(), `"reason":"banned"`)
	require.Equal(t, 2, bot.Count("subscribed"))
}

func TestARefusalIsPermanent(t *testing.T) {
	s, _ := start(t)
	for query, reason := range map[string]string{
		"":               `"reason":"unauthorized"`,
		"?user=stranger": "reject_subscription",
	} {
		bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+s.Addr+"/cable"+query) })
		require.ErrorContains(t, bot.Wait(), reason)
	}
}
