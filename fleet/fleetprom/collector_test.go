package fleetprom_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/fleetprom"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
	return r.NewClient(r.Endpoint)
}

// scraped is what Prometheus gets from a worker that holds three rooms, to one of which
// nothing answers, and from one that does not run.
func scraped(t *testing.T) (text string, families map[string]*dto.MetricFamily) {
	t.Helper()
	srv := wstest.NewServer()
	t.Cleanup(srv.Close)
	f, err := fleet.Open(t.Context(), fleet.WithLease(5*time.Second))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	w, err := f.NewWorker(connect, fleet.WithWorkerName("worker-a"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	for n, url := range []string{srv.URL(), srv.URL(), "ws://127.0.0.1:1"} {
		require.NoError(t, f.Control().Add(t.Context(), fleet.Spec{ID: fmt.Sprint(n), Endpoint: url}))
	}
	conn, err := srv.NextConn(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.Send(`{"msg_type":"hello"}`))
	require.NoError(t, f.Send(t.Context(), "0", map[string]string{"msg_type": "x"}))
	require.Eventually(t, func() bool {
		s := w.Stats()
		return s.Rooms == 3 && s.Open == 2 && s.In == 1 && s.Out == 1
	}, 20*time.Second, 10*time.Millisecond)

	idle, err := f.NewWorker(connect, fleet.WithWorkerName("idle 闲"))
	require.NoError(t, err)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(fleetprom.New(w, idle), fleetprom.NewHandlers(handled(t, f)), fleetprom.NewStorage(f))
	gathered, err := registry.Gather()
	require.NoError(t, err)
	families = map[string]*dto.MetricFamily{}
	for _, f := range gathered {
		families[f.GetName()] = f
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, http.StatusOK, answer.Code)
	return answer.Body.String(), families
}

// handled are the handlers of group bot, which have handled a message.
func handled(t *testing.T, f *fleet.Fleet) *fleet.Handlers {
	t.Helper()
	h, err := f.NewHandlers("bot", fleet.WithFromStart())
	require.NoError(t, err)
	h.OnMessage(func(context.Context, fleet.Message) error { return nil })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool { return h.Stats().Handled == 1 && h.Stats().Partitions == 16 }, 20*time.Second, 10*time.Millisecond)
	return h
}

func TestMetrics(t *testing.T) {
	text, families := scraped(t)
	for name, value := range map[string]string{
		"rooms": "3", "rooms_open": "2", "shards": "3", "unheld_shards": "0", "ready": "1", "rooms_taken_total": "3", "rooms_released_total": "0",
		"received_messages_total": "1", "unpublished_messages_total": "0", "delivered_messages_total": "1",
		"expired_messages_total": "0", "undeliverable_messages_total": "0", "errors_total": "0", "over_budget_messages_total": "0",
	} {
		assert.Contains(t, text, "wechatws_fleet_"+name+`{worker="worker-a"} `+value+"\n")
	}
	for name, value := range map[string]string{
		"ready": "1", "partitions": "16", "lag_messages": "0", "held_rooms": "0", "memory_bytes": "0", "handled_messages_total": "1",
		"retried_messages_total": "0", "undecodable_messages_total": "0", "given_up_messages_total": "0", "errors_total": "0",
	} {
		assert.Contains(t, text, "wechatws_fleet_group_"+name+`{group="bot"} `+value+"\n")
	}
	for name, value := range map[string]string{"bytes": `0`, "max_bytes": `[1-9].+`, "messages": "0", "age_seconds": "0"} {
		assert.Regexp(t, `(?m)^wechatws_fleet_storage_`+name+`{stream="wechatws-out"} `+value+"$", text)
	}
	for _, stream := range []string{"wechatws-in", "wechatws-dead", "KV_wechatws-rooms", "KV_wechatws-leases-1", "KV_wechatws-groups"} {
		assert.Contains(t, text, `wechatws_fleet_storage_messages{stream="`+stream+`"}`)
	}
	assert.Regexp(t, `wechatws_fleet_lease_remaining_seconds{worker="worker-a"} [0-4]\.[0-9]`, text)
	assert.Contains(t, text, `wechatws_fleet_rooms{worker="idle 闲"} 0`+"\n")
	documented(t, families)
	checkDashboard(t, families)
	promtool(t, text, "check", "metrics")
}

// promtool is the tool of Prometheus itself, which not every machine has. CI must.
func promtool(t *testing.T, stdin string, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("promtool is not installed (Debian: apt-get install prometheus)")
	}
	require.NoError(t, err, "promtool is needed in CI (Debian: apt-get install prometheus)")
	cmd := exec.CommandContext(t.Context(), path, arguments...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	if stdin != "" {
		require.Empty(t, string(out))
	}
}

// names are those of the package's documentation, without what they all begin with, and
// their kinds.
func names() map[string]string {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		return nil
	}
	kinds := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^//\twechatws_fleet_(\w+) +(gauge|counter)\b`).FindAllStringSubmatch(string(text), -1) {
		kinds[line[1]] = line[2]
	}
	return kinds
}

// documented checks that the package's documentation names all there are, and no others.
func documented(t *testing.T, families map[string]*dto.MetricFamily) {
	t.Helper()
	assert.Len(t, names(), len(families))
	for name, kind := range names() {
		name = "wechatws_fleet_" + name
		if assert.Contains(t, families, name) {
			assert.Equal(t, strings.ToUpper(kind), families[name].GetType().String(), name)
		}
	}
	for _, query := range watched(t) {
		for _, name := range metricName.FindAllString(query, -1) {
			assert.Contains(t, families, name, query)
		}
	}
}

func TestAWorkerThatDoesNotRun(t *testing.T) {
	f, err := fleet.Open(t.Context())
	require.NoError(t, err)
	defer f.Close()
	w, err := f.NewWorker(connect, fleet.WithWorkerName("idle"))
	require.NoError(t, err)
	assert.NoError(t, testutil.CollectAndCompare(fleetprom.New(w), bytes.NewBufferString(`
# HELP wechatws_fleet_ready 1 when the worker has a lease and knows all shards, else 0.
# TYPE wechatws_fleet_ready gauge
wechatws_fleet_ready{worker="idle"} 0
`), "wechatws_fleet_ready"))
	assert.Panics(t, func() { fleetprom.New(nil) })
	assert.Panics(t, func() { fleetprom.NewHandlers(nil) })
}

// While NATS cannot be reached, a scrape reports nothing of the storage, and all else.
func TestStorageWithoutNATS(t *testing.T) {
	f, err := fleet.Open(t.Context())
	require.NoError(t, err)
	storage := fleetprom.NewStorage(f)
	assert.Equal(t, 4*4, testutil.CollectAndCount(storage), "four streams")
	f.Close()
	assert.Zero(t, testutil.CollectAndCount(storage))
	assert.Panics(t, func() { fleetprom.NewStorage(nil) })
}

func BenchmarkCollect(b *testing.B) {
	f, err := fleet.Open(b.Context())
	require.NoError(b, err)
	defer f.Close()
	w, err := f.NewWorker(connect, fleet.WithWorkerName("idle"))
	require.NoError(b, err)
	collector := fleetprom.New(w)
	ch := make(chan prometheus.Metric, 100)
	b.ReportAllocs()
	for b.Loop() {
		collector.Collect(ch)
		for len(ch) > 0 {
			<-ch
		}
	}
}
