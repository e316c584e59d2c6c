package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	web := backend.Serve(t, newServer(t).handler())
	findings, call, ok := backend.Doctor(t, "ws://"+web.Addr, "--login", `{"id":1,"connect":{"token":"secret"}}`)
	require.False(t, ok, "no option answers the pings of the server")
	require.Contains(t, findings, "the server's heartbeat wants an answer")
	require.Contains(t, findings, "{}: if it expects an answer, see WithReply")
	require.Contains(t, call, "wechatws.WithLoginMessage(")
}
