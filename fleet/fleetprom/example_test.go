package fleetprom_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/fleetprom"
)

func Example() {
	f, err := fleet.Open(context.Background())
	if err != nil {
		panic(err)
	}
	defer f.Close()
	w, err := f.NewWorker(connect, fleet.WithWorkerName("worker-a"))
	if err != nil {
		panic(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(fleetprom.New(w))
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) // for http.Handle("/metrics", metrics)

	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(line, "wechatws_fleet_r") {
			fmt.Print(line)
		}
	}
	// Output:
	// wechatws_fleet_ready{worker="worker-a"} 0
	// wechatws_fleet_received_messages_total{worker="worker-a"} 0
	// wechatws_fleet_rooms{worker="worker-a"} 0
	// wechatws_fleet_rooms_open{worker="worker-a"} 0
	// wechatws_fleet_rooms_released_total{worker="worker-a"} 0
	// wechatws_fleet_rooms_taken_total{worker="worker-a"} 0
}
