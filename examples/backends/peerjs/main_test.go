package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestOffersAreAnsweredAfterARestartToo(t *testing.T) {
	server := backend.Node(t, "server.mjs")
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+server.Addr+"/peerjs", "bot") })
	bot.Expect("connected")
	call(t, server)
	bot.Expect("an offer from caller")

	server.Expect("bot HEARTBEAT")
	server.Expect("bot HEARTBEAT") // without them the server forgets a peer after 5 s
	call(t, server)
	require.Equal(t, 1, bot.Count("connected"))

	server.Kill()
	server.Start()
	bot.Expect("connected")
	call(t, server)
	require.NoError(t, bot.Stop())
}

// call makes an offer to the bot, and waits for the answer.
func call(t *testing.T, server *backend.Process) {
	t.Helper()
	caller := dial(t, server, "caller")
	defer caller.CloseNow()
	answer, err := caller.Request(t.Context(), signal{Type: "OFFER", Dst: "bot", Payload: "call me"}, func(m wechatws.Message) bool { return m.Type == "ANSWER" })
	require.NoError(t, err)
	var s signal
	require.NoError(t, answer.Decode(&s))
	require.Equal(t, signal{Type: "ANSWER", Src: "bot", Dst: "caller", Payload: "call me"}, s)
}

// dial connects another peer.
func dial(t *testing.T, server *backend.Process, id string) *wechatws.Client {
	t.Helper()
	peer, err := wechatws.New("ws://"+server.Addr+"/peerjs?key=peerjs&token=1&id="+id, wechatws.WithTypeField("type"), wechatws.WithoutHeartbeat())
	require.NoError(t, err)
	require.NoError(t, peer.Connect(t.Context()))
	return peer
}

func TestATakenIDIsPermanent(t *testing.T) {
	server := backend.Node(t, "server.mjs")
	caller := dial(t, server, "bot")
	defer caller.CloseNow()
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+server.Addr+"/peerjs", "bot") })
	require.ErrorContains(t, bot.Wait(), "another peer is bot")
}
