package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(body)
}

func TestWorker(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	f, err := fleet.Open(t.Context(), fleet.Config{Listen: "127.0.0.1:0", Lease: 2 * time.Second})
	require.NoError(t, err)
	defer f.Close()
	t.Setenv("LIVE_TOKEN", "hidden")
	require.NoError(t, f.Control().Add(t.Context(), fleet.Spec{
		ID: "red", Endpoint: backend.URL(), IDs: map[string]string{"room": "7", "user": "1"},
		Options: map[string]string{"name": "bot"}, Secrets: map[string]string{"token": "env:LIVE_TOKEN"},
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- run(ctx, settings{nats: f.URL(), replicas: 1, name: "w", listen: addr, drain: 10 * time.Second, log: slog.New(slog.DiscardHandler)})
	}()
	base := "http://" + addr
	require.Eventually(t, func() bool {
		code, _ := get(t, base+"/health/ready")
		_, metrics := get(t, base+"/metrics")
		return code == http.StatusOK && strings.Contains(metrics, `wechatws_fleet_rooms_open{worker="w"} 1`)
	}, 30*time.Second, 20*time.Millisecond)
	assert.Equal(t, "Bearer hidden", backend.Server().Handshakes()[0].Header.Get("Authorization"))
	code, _ := get(t, base+"/health/live")
	assert.Equal(t, http.StatusOK, code)
	_, metrics := get(t, base+"/metrics")
	assert.Contains(t, metrics, `wechatws_clients{state="open"} 1`)
	require.Eventually(t, func() bool {
		_, rows := get(t, base+"/rooms/?rows")
		return strings.Contains(rows, `"red"`)
	}, 10*time.Second, 100*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.Eventually(t, func() bool { return backend.Viewers("7") == 0 }, 10*time.Second, 10*time.Millisecond, "it has left")
}
