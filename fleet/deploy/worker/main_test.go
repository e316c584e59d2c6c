package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/internal/freeport"
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

// freeAddress is one on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	return addr
}

func TestWorker(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	f, err := fleet.Open(t.Context(), fleet.WithListen("127.0.0.1:0", ""), fleet.WithLease(2*time.Second))
	require.NoError(t, err)
	defer f.Close()
	t.Setenv("LIVE_TOKEN", "hidden")
	require.NoError(t, f.Control().Add(t.Context(), fleet.Spec{
		ID: "red", Endpoint: backend.URL(), IDs: map[string]string{"room": "7", "user": "1"},
		Options: map[string]string{"name": "bot"}, Secrets: map[string]string{"token": "env:LIVE_TOKEN"},
	}))
	addr := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- run(ctx, settings{nats: f.URL(), fleet: "wechatws", replicas: 1, name: "w", listen: addr, drain: 10 * time.Second, log: slog.New(slog.DiscardHandler)})
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
	assert.NotContains(t, metrics, "hidden")
	require.Eventually(t, func() bool {
		_, rows := get(t, base+"/rooms/?rows")
		return strings.Contains(rows, `"red"`)
	}, 10*time.Second, 100*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.Eventually(t, func() bool { return backend.Viewers("7") == 0 }, 10*time.Second, 10*time.Millisecond, "it has left")
}

// A worker that waits for NATS is not ready, and need not be started again.
func TestWaitingForNATS(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	addr := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- run(ctx, settings{nats: "nats://" + freeAddress(t), fleet: "wechatws", replicas: 1, name: "w", listen: addr, log: slog.New(slog.DiscardHandler)})
	}()
	require.Eventually(t, func() bool {
		code, _ := get(t, "http://"+addr+"/health/live")
		return code == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
	code, _ := get(t, "http://"+addr+"/health/ready")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	cancel()
	assert.Error(t, <-ended)
}

// However often a room's client is made, the room is one in the metrics.
func TestClientsAreCountedOnce(t *testing.T) {
	collector := newClients()
	client := func() *wechatws.Client {
		c, err := wechatws.New("ws://127.0.0.1:1")
		require.NoError(t, err)
		return c
	}
	count := func() float64 {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(collector)
		families, err := registry.Gather()
		require.NoError(t, err)
		n := 0.0
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "wechatws_clients" {
					n += m.GetGauge().GetValue()
				}
			}
		}
		return n
	}
	held, giveUp := context.WithCancel(t.Context())
	for range 3 {
		collector.add(held, "red", client())
		assert.Equal(t, 1.0, count())
	}
	again, giveUpAgain := context.WithCancel(t.Context()) // with another spec
	defer giveUpAgain()
	collector.add(again, "red", client())
	collector.add(again, "blue", client())
	giveUp()
	require.Never(t, func() bool { return count() != 2 }, 50*time.Millisecond, 5*time.Millisecond)
	giveUpAgain()
	require.Eventually(t, func() bool { return count() == 0 }, 10*time.Second, 5*time.Millisecond)
	collector.mu.Lock()
	defer collector.mu.Unlock()
	assert.Empty(t, collector.byRoom)
}
