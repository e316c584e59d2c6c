package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	endpoint, err := browser("http://"+chromium(t).Addr)(t.Context(), 1, nil)
	require.NoError(t, err)
	_, call, ok := backend.Doctor(t, endpoint.URL)
	require.True(t, ok)
	require.Contains(t, call, "wechatws.WithoutHeartbeat()")
}
