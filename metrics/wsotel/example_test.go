package wsotel_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsotel"
	"github.com/wechatws/wechatws/wstest"
)

// The reader stands for the exporter of a real program, which would be an
// sdkmetric.NewPeriodicReader of otlpmetrichttp.
func ExampleNewMetrics() {
	server := wstest.NewServer()
	defer server.Close()
	reader := sdkmetric.NewManualReader()

	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	metrics, err := wsotel.NewMetrics(
		wsotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	if err != nil {
		panic(err)
	}
	defer func() { _ = metrics.Close() }()
	defer metrics.Add("room-9527", client)()

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
	// Output:
	// wechatws.client.connection.opened wechatws.client.name=room-9527 1
}

// A callback's spans are children of the span of its message, and the server finds the
// attempt's span in the header of the handshake. The recorder stands for the exporter of a
// real program, which would be a sdktrace.WithBatcher of otlptracehttp.
func ExampleTrace() {
	server := wstest.NewServer()
	defer server.Close()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))

	client, err := wechatws.New(server.URL(), wechatws.WithTrace(wsotel.Trace(
		wsotel.WithTracerProvider(provider),
		wsotel.WithPropagator(propagation.TraceContext{}),
		wsotel.WithMessageSpans(),
	)))
	if err != nil {
		panic(err)
	}
	stored := make(chan struct{})
	wechatws.On(client, "message", func(ctx context.Context, _ wechatws.Message) {
		_, span := provider.Tracer("bot").Start(ctx, "store")
		span.End()
		close(stored)
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	conn, err := server.NextConn(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println("traceparent:", conn.Request().Header.Get("traceparent") != "")
	if err := conn.Send(`{"msg_type":"message"}`); err != nil {
		panic(err)
	}
	<-stored
	if err := client.Close(wechatws.StatusNormalClosure, ""); err != nil {
		panic(err)
	}

	names := map[trace.SpanID]string{}
	for _, span := range recorder.Started() {
		names[span.SpanContext().SpanID()] = span.Name()
	}
	for _, span := range recorder.Ended() {
		if span.Name() == "store" {
			fmt.Println("store is part of", names[span.Parent().SpanID()])
		}
	}
	// Output:
	// traceparent: true
	// store is part of wechatws.message
}
