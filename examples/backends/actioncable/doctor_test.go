package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	s, _ := start(t)
	_, call, ok := backend.Doctor(t, "ws://"+s.Addr+"/cable?user=bot")
	require.True(t, ok)
	require.Contains(t, call, `wechatws.WithSubprotocols("actioncable-v1-json")`)
	require.Contains(t, call, `wechatws.WithTypeField("type")`)
}
