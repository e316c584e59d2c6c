package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/backends/internal/backend"
	"github.com/wechatws/wechatws/wstest"
)

func TestBot(t *testing.T) {
	w := newWorkspace(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, w.api.URL, "xapp-secret") })
	<-w.hello

	// Twelve envelopes that take the handler 8.4 s: no acknowledgement waits for it, the channels
	// do not wait for each other, and each is handled in order.
	for i := range 12 {
		w.say(fmt.Sprint("C", i%4), fmt.Sprint("text ", i))
	}
	for range 12 {
		require.Less(t, <-w.acks, 3*time.Second)
	}
	for range 12 {
		bot.Expect("done: ")
	}
	lines := strings.Join(bot.All(), "\n")
	before, _, _ := strings.Cut(lines, "done: ")
	require.Equal(t, 4, strings.Count(before, "message: "), "handlers at the same time")
	for i := range 8 {
		require.Less(t, strings.Index(lines, fmt.Sprintf("done: C%d text %d\n", i%4, i)), strings.Index(lines, fmt.Sprintf("message: C%d text %d\n", i%4, i+4)))
	}

	// Slack asks for another connection; a connection breaks; the server restarts. What is said
	// meanwhile comes with the next one.
	for i, end := range []func(*wstest.Conn){
		func(c *wstest.Conn) { c.Send(`{"type":"disconnect","reason":"refresh_requested"}`) },
		func(c *wstest.Conn) { c.Cut(wstest.RST) },
		func(*wstest.Conn) { w.Stop(wstest.RST); w.Start() },
	} {
		w.away(end)
		text := fmt.Sprint("later \x1b[2J", i) // does not control the terminal
		w.say("C1", text)
		<-w.hello
		<-w.acks
		bot.Expect("done: C1 " + wechatws.Printable(text))
	}
	require.Equal(t, 15, bot.Count("done: "))

	// Socket Mode is switched off: the last message before the end.
	attempts := len(w.Handshakes())
	w.away(func(c *wstest.Conn) {
		c.Send(`{"type":"disconnect","reason":"link_disabled"}`)
		c.Close(1000, "")
	})
	require.ErrorContains(t, bot.Wait(), "link_disabled")
	require.Len(t, w.Handshakes(), attempts)
}

func TestWrongToken(t *testing.T) {
	w := newWorkspace(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, w.api.URL, "xapp-wrong") })
	require.ErrorContains(t, bot.Wait(), "invalid_auth")
	require.Empty(t, w.Handshakes())
}
