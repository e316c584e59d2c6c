package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	_, call, ok := backend.Doctor(t, "ws://"+janus(t).Addr)
	require.True(t, ok)
	require.Contains(t, call, `wechatws.WithSubprotocols("janus-protocol")`)
	require.Contains(t, call, `wechatws.WithTypeField("janus")`)
	require.Contains(t, call, "wechatws.WithoutHeartbeat()")
}
