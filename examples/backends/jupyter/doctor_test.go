package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	server := start(t)
	kernel, err := newKernel(t.Context(), "http://"+server.Addr)
	require.NoError(t, err)
	_, call, ok := backend.Doctor(t, "ws://"+server.Addr+"/api/kernels/"+kernel+"/channels")
	require.True(t, ok)
	require.Contains(t, call, "wechatws.WithoutHeartbeat()")
}
