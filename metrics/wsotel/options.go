package wsotel

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A MetricsOption is an option of [NewMetrics].
type MetricsOption func(*metricsConfig)

type metricsConfig struct {
	provider  metric.MeterProvider
	aggregate bool
}

// WithMeterProvider sets the provider of the meter. The default is the global one,
// otel.GetMeterProvider, which may be set later.
func WithMeterProvider(p metric.MeterProvider) MetricsOption {
	return func(c *metricsConfig) { c.provider = p }
}

// WithAggregation reports all clients as one, without the attribute wechatws.client.name.
// The default is 32 series for every name. Counts are summed, and wechatws.client.count is
// the number of clients in each state. The number of series is then the same for one
// client and for ten thousand.
func WithAggregation() MetricsOption {
	return func(c *metricsConfig) { c.aggregate = true }
}

// A TraceOption is an option of [Trace].
type TraceOption func(*tracer)

// WithTracerProvider sets the provider of the tracer. The default is the global one,
// otel.GetTracerProvider, which may be set later.
func WithTracerProvider(p trace.TracerProvider) TraceOption {
	return func(t *tracer) { t.provider = p }
}

// WithPropagator sets what writes the span of an attempt into the header of its handshake.
// The default is the global one, otel.GetTextMapPropagator, which may be set later.
func WithPropagator(p propagation.TextMapPropagator) TraceOption {
	return func(t *tracer) { t.propagator = p }
}

// WithAttributes sets attributes of every span, such as [ClientName]. The default is none.
func WithAttributes(attributes ...attribute.KeyValue) TraceOption {
	attributes = slices.Clone(attributes)
	return func(t *tracer) { t.attributes = attributes }
}

// WithMessageSpans makes a span of each message, too, around its callbacks. The default is
// spans of attempts only.
func WithMessageSpans() TraceOption {
	return func(t *tracer) { t.messages = true }
}
