package fleetprom_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	fleetprom "github.com/wechatws/wechatws/fleet/prometheus"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
	return r.NewClient(r.Endpoint)
}

// scraped is what Prometheus gets from a worker that holds three rooms, to one of which
// nobody answers.
func scraped(t *testing.T) string {
	t.Helper()
	srv := wstest.NewServer()
	t.Cleanup(srv.Close)
	f, err := fleet.Open(t.Context(), fleet.Config{Lease: 2 * time.Second})
	require.NoError(t, err)
	t.Cleanup(f.Close)
	w, err := f.NewWorker(fleet.WorkerConfig{Name: "worker-a", Connect: connect})
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

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(fleetprom.New(w))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return answer.Body.String()
}

func TestMetrics(t *testing.T) {
	text := scraped(t)
	for name, value := range map[string]string{
		"rooms": "3", "rooms_open": "2", "ready": "1", "rooms_taken_total": "3", "rooms_released_total": "0",
		"received_messages_total": "1", "unpublished_messages_total": "0", "delivered_messages_total": "1",
		"expired_messages_total": "0", "errors_total": "0",
	} {
		assert.Contains(t, text, "wechatws_fleet_"+name+`{worker="worker-a"} `+value+"\n")
	}
	assert.Regexp(t, `wechatws_fleet_lease_remaining_seconds{worker="worker-a"} (1\.[0-9]|0\.[0-9])`, text)
	promtool(t, text)
	documented(t, text)
	drawn(t, text)
}

// promtool is Prometheus' own check.
func promtool(t *testing.T, text string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal("promtool is needed in CI (Debian: apt-get install prometheus)")
	} else if err != nil {
		t.Log("promtool is not there (Debian: apt-get install prometheus), and was not asked")
		return
	}
	check := exec.Command(path, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	out, err := check.CombinedOutput()
	assert.NoError(t, err, string(out))
	assert.Empty(t, string(out))
}

var metric = regexp.MustCompile(`wechatws_fleet_[a-z_]+[a-z]`)

// documented checks that the package's documentation names all there are, and no others.
func documented(t *testing.T, text string) {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for _, name := range metric.FindAllString(text, -1) {
		assert.Contains(t, string(doc), "\t"+name+" ")
	}
	for _, name := range metric.FindAllString(string(doc), -1) {
		assert.Contains(t, text, "\n"+name+"{")
	}
}

// drawn checks that the dashboard asks for metrics that there are.
func drawn(t *testing.T, text string) {
	t.Helper()
	dashboard, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	require.True(t, json.Valid(dashboard))
	names := metric.FindAllString(string(dashboard), -1)
	assert.Greater(t, len(names), 8)
	for _, name := range names {
		assert.Contains(t, text, "\n"+name+"{")
	}
}

func TestAWorkerThatDoesNotRun(t *testing.T) {
	f, err := fleet.Open(t.Context(), fleet.Config{})
	require.NoError(t, err)
	defer f.Close()
	w, err := f.NewWorker(fleet.WorkerConfig{Name: "idle", Connect: connect})
	require.NoError(t, err)
	assert.NoError(t, testutil.CollectAndCompare(fleetprom.New(w), bytes.NewBufferString(`
# HELP wechatws_fleet_ready 1 when the worker has a lease and knows all rooms, else 0.
# TYPE wechatws_fleet_ready gauge
wechatws_fleet_ready{worker="idle"} 0
`), "wechatws_fleet_ready"))
	assert.Panics(t, func() { fleetprom.New(nil) })
}

func ExampleNew() {
	f, err := fleet.Open(context.Background(), fleet.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	w, err := f.NewWorker(fleet.WorkerConfig{Name: "worker-a", Connect: connect})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(fleetprom.New(w))
	families, err := registry.Gather()
	fmt.Println(len(families), err)
	// Output: 11 <nil>
}
