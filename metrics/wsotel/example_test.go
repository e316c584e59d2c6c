package wsotel_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/wechatws/wechatws"
	wsotel "github.com/wechatws/wechatws/metrics/wsotel"
	"github.com/wechatws/wechatws/wstest"
)

// The reader and the recorder stand for the exporters of a real program, which would
// be an sdkmetric.NewPeriodicReader of otlpmetrichttp and a sdktrace.WithBatcher of
// otlptracehttp.
func Example() {
	server := wstest.NewServer()
	defer server.Close()
	reader, recorder := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()

	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	metrics, err := wsotel.NewMetrics(wsotel.MetricsOptions{
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = metrics.Close() }()
	defer metrics.Add("room-9527", client)()
	stop := wsotel.Trace(client, wsotel.TraceOptions{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)),
		Attributes:     []attribute.KeyValue{wsotel.ClientName("room-9527")},
	})
	defer stop()

	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	if err := client.Close(wechatws.StatusNormalClosure, "bye"); err != nil {
		panic(err)
	}

	var got metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &got); err != nil {
		panic(err)
	}
	for _, m := range got.ScopeMetrics[0].Metrics {
		if m.Name == "wechatws.client.connection.opened" {
			p := m.Data.(metricdata.Sum[int64]).DataPoints[0]
			fmt.Println(m.Name, p.Attributes.Encoded(attribute.DefaultEncoder()), p.Value)
		}
	}
	for _, span := range recorder.Ended() {
		fmt.Println(span.Name(), span.Status().Code)
		for _, a := range span.Attributes() {
			if a.Key == "wechatws.outcome" {
				fmt.Println(a.Key, a.Value.AsString())
			}
		}
	}
	// Output:
	// wechatws.client.connection.opened wechatws.client.name=room-9527 1
	// wechatws.connect Unset
	// wechatws.outcome open
}
