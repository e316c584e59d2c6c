package wsprom_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsprom"
	"github.com/wechatws/wechatws/wstest"
)

func Example() {
	server := wstest.NewServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}

	collector := wsprom.New()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	remove := collector.Add("room-9527", client) // before Connect: everything is counted
	defer remove()
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) // for http.Handle("/metrics", metrics)

	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	if err := client.Send(context.Background(), wechatws.Text(`{"msg_type":"message","content":"hello"}`)); err != nil {
		panic(err)
	}
	if err := client.Close(wechatws.StatusNormalClosure, "bye"); err != nil {
		panic(err)
	}

	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(line, "wechatws_connections_opened") || strings.HasPrefix(line, "wechatws_sent") {
			fmt.Print(line)
		}
	}
	// Output:
	// wechatws_connections_opened_total{client="room-9527"} 1
	// wechatws_sent_bytes_total{client="room-9527"} 40
	// wechatws_sent_messages_total{client="room-9527"} 1
}

// A thousand clients are too many to be told apart: one line for each state instead.
func ExampleWithAggregation() {
	collector := wsprom.New(wsprom.WithAggregation())
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	for range 1000 {
		client, err := wechatws.New("wss://live.example.com/ws")
		if err != nil {
			panic(err)
		}
		collector.Add("", client)
	}

	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, metric := range families[0].GetMetric() {
		fmt.Println(families[0].GetName(), metric.GetLabel()[0].GetValue(), metric.GetGauge().GetValue())
	}
	// Output:
	// wechatws_clients closed 0
	// wechatws_clients connecting 0
	// wechatws_clients failed 0
	// wechatws_clients idle 1000
	// wechatws_clients offline 0
	// wechatws_clients open 0
	// wechatws_clients waiting 0
}

// With the metrics at http://127.0.0.1:9464/metrics.
func ExampleCollector_Add() {
	client, err := wechatws.New("wss://live.example.com/ws")
	if err != nil {
		panic(err)
	}
	b := struct{ client *wechatws.Client }{client}

	collector := wsprom.New()
	prometheus.MustRegister(collector)
	defer collector.Add("room-9527", b.client)() // before run
	http.Handle("/metrics", promhttp.Handler())
	go func() { log.Print(http.ListenAndServe("127.0.0.1:9464", nil)) }()
}
