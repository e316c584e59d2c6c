package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
	"github.com/wechatws/wechatws/wstest"
)

func TestBot(t *testing.T) {
	s := newImplementation(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, s.URL(), "secret") })
	conn := <-s.conns
	n := 0
	for range 3 {
		n++
		say(conn, fmt.Sprint("text ", n))
		bot.Expect(fmt.Sprintf("message %q", fmt.Sprint("text ", n)))
	}
	s.Stop(wstest.RST)
	s.Start()
	conn = <-s.conns
	n++
	say(conn, fmt.Sprint("text ", n))
	bot.Expect(fmt.Sprintf("message %q", fmt.Sprint("text ", n)))
	for i := 1; i <= n; i++ {
		require.Equal(t, fmt.Sprint("you said: text ", i), <-s.said)
		require.Equal(t, 1, bot.Count(fmt.Sprintf(`message "text %d", answer "%d": <nil>`, i, i)))
	}
	require.NoError(t, bot.Stop())
	require.Zero(t, bot.Count("error: "))
}

func TestWrongToken(t *testing.T) {
	s := newImplementation(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, s.URL(), "wrong") })
	require.ErrorContains(t, bot.Wait(), http.StatusText(http.StatusUnauthorized))
}
