package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	koishi := backend.Node(t, "server.cjs")
	_, call, ok := backend.Doctor(t, "ws://"+koishi.Addr+"/onebot",
		"--header", "Authorization: Bearer secret", "--header", "X-Self-Id: 10001", "--header", "X-Client-Role: Universal")
	require.True(t, ok)
	require.Contains(t, call, `wechatws.WithTypeField("action")`)
}
