package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestDoctor(t *testing.T) {
	w := newWorkspace(t)
	endpoint, err := open(t.Context(), w.api.URL, "xapp-secret")
	require.NoError(t, err)
	findings, _, ok := backend.Doctor(t, endpoint.URL)
	require.False(t, ok, "the URL is for one connection")
	require.Contains(t, findings, "handshake     ok ")
	require.Contains(t, findings, "server answered 403 Forbidden")
}
