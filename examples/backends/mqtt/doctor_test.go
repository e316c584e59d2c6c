package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	backend.Need(t, "mosquitto")
	broker := backend.Start(t, "running", "sh", "mosquitto.sh", t.TempDir())
	_, call, ok := backend.Doctor(t, "ws://"+broker.Addr)
	require.True(t, ok)
	require.Contains(t, call, `wechatws.WithSubprotocols("mqtt")`)
}
