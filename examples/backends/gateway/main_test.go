package main

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/backends/internal/backend"
	"github.com/wechatws/wechatws/wstest"
)

func TestBot(t *testing.T) {
	g := newGateway(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, g.URL(), "secret") })

	said := 0
	say := func() { said++; g.say("text " + strconv.Itoa(said)) }
	hear := func() { t.Helper(); bot.Expect("message: text " + strconv.Itoa(said)) }

	first := <-g.ready
	for range 3 {
		say()
	}
	hear()
	for <-g.beats != "4" { // READY and three messages
	}

	// The gateway wants the bot to come back.
	left := g.away(func(c *wstest.Conn) { g.send(c, payload{Op: 7}) })
	say()
	require.Same(t, first, <-g.resumed)
	hear()
	<-left.Done()
	code, _ := left.CloseCode()
	require.Equal(t, 4000, code, "1000 and 1001 end the session")

	// The connection breaks, or the gateway closes it with a code after which the session goes on.
	for _, end := range []func(*wstest.Conn){
		func(c *wstest.Conn) { c.Cut(wstest.RST) },
		func(c *wstest.Conn) { c.Close(4009, "Session timed out.") },
	} {
		g.away(end)
		say()
		require.Same(t, first, <-g.resumed)
		hear()
	}

	// The gateway restarts without its sessions: op 9 to the resume, and a new session.
	g.Stop(wstest.RST)
	g.forget()
	g.Start()
	second := <-g.ready
	require.NotEqual(t, first.path, second.path)
	say()
	hear()
	g.away(func(c *wstest.Conn) { c.Cut(wstest.FIN) })
	say()
	require.Same(t, second, <-g.resumed)
	hear()

	for i := 1; i <= said; i++ {
		require.Equal(t, 1, bot.Count("message: text "+strconv.Itoa(i)), "message %d", i)
	}

	require.Zero(t, g.unknown.Load())

	// The token is revoked.
	attempts := len(g.Handshakes())
	g.away(func(c *wstest.Conn) { c.Close(4004, "Authentication failed.") })
	var closed *wechatws.CloseError
	require.ErrorAs(t, bot.Wait(), &closed)
	require.EqualValues(t, 4004, closed.Code)
	require.Len(t, g.Handshakes(), attempts)
}

func TestWrongToken(t *testing.T) {
	g := newGateway(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, g.URL(), "wrong") })
	require.ErrorContains(t, bot.Wait(), "4004")
	require.Len(t, g.Handshakes(), 1)
}
