package main

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

// Koishi is a real bot, which waits for an implementation.
func TestImplementation(t *testing.T) {
	koishi := backend.Node(t, "server.cjs")
	chat, lines := io.Pipe()
	bot := backend.Run(t, func(ctx context.Context) error {
		return run(ctx, "ws://"+koishi.Addr+"/onebot", "secret", chat)
	})
	t.Cleanup(func() { lines.Close() })
	n := 0
	say := func() {
		n++
		fmt.Fprintf(lines, "text %d\n", n)
	}
	for range 3 {
		say()
		bot.Expect(fmt.Sprint("you said: text ", n))
	}
	koishi.Kill()
	for range 3 { // these wait for the next connection
		say()
	}
	koishi.Start()
	bot.Expect(fmt.Sprint("you said: text ", n))
	for i := 1; i <= n; i++ {
		require.Equal(t, 1, bot.Count(fmt.Sprint("you said: text ", i)), "message %d", i)
	}
	require.NoError(t, bot.Stop())
}
