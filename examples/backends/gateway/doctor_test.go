package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	g := newGateway(t)
	findings, call, ok := backend.Doctor(t, g.URL()+"?v=10&encoding=json&compress=zlib-stream", "--login", `{"op":2,"d":{"token":"secret"}}`)
	require.True(t, ok)
	require.Contains(t, findings, "messages are binary, zlib: see WithUnpack")
	require.Contains(t, call, "wechatws.WithLoginMessage(")
	require.Contains(t, call, "wechatws.WithoutHeartbeat()")
}
