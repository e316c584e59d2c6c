package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	server := backend.Node(t, "server.mjs")
	_, call, ok := backend.Doctor(t, "ws://"+server.Addr+"/peerjs?key=peerjs&id=doctor&token=abcdefgh")
	require.True(t, ok)
	require.Contains(t, call, `wechatws.WithTypeField("type")`)
	require.Contains(t, call, "Message: wechatws.Text(`{\"type\":\"HEARTBEAT\"}`)")
}
