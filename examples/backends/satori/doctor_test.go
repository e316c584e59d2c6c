package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	server := backend.Node(t, "server.cjs")
	_, call, ok := backend.Doctor(t, "ws://"+server.Addr+"/satori/v1/events", "--login", `{"op":3,"body":{"token":"secret"}}`)
	require.True(t, ok)
	require.Contains(t, call, `wechatws.WithTypeField("op")`)
	require.Contains(t, call, "Message: wechatws.Text(`{\"op\":1}`)")
}
