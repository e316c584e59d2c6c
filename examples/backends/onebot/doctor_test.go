package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	s := newImplementation(t)
	_, call, ok := backend.Doctor(t, s.URL(), "--header", "Authorization: Bearer secret")
	require.True(t, ok)
	require.Contains(t, call, `"Authorization": {os.Getenv("AUTHORIZATION")}`)
	require.Contains(t, call, `wechatws.WithTypeField("post_type")`)
	require.Contains(t, call, "wechatws.WithoutHeartbeat()")
}
