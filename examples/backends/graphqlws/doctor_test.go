package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	server := backend.Node(t, "server.mjs", filepath.Join(t.TempDir(), "events.json"))
	_, call, ok := backend.Doctor(t, "ws://"+server.Addr+"/graphql", "--login", `{"type":"connection_init","payload":{"token":"secret"}}`)
	require.True(t, ok)
	require.Contains(t, call, `wechatws.WithSubprotocols("graphql-transport-ws")`)
	require.Contains(t, call, `wechatws.WithTypeField("type")`)
	require.NotContains(t, call, "Heartbeat", "the default one, {\"type\":\"ping\"}, is answered")
}
