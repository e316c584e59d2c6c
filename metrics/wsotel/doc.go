// Package wsotel tells OpenTelemetry about wechatws clients: metrics of their state,
// their connections and their messages (NewMetrics), and a span of each connection
// attempt (Trace).
//
//	metrics, err := wsotel.NewMetrics(wsotel.MetricsOptions{})
//	if err != nil {
//		return err
//	}
//	defer metrics.Close()
//	defer metrics.Add("room-9527", client)()
//	defer wsotel.Trace(client, wsotel.TraceOptions{
//		Attributes: []attribute.KeyValue{wsotel.ClientName("room-9527")},
//	})()
//
// Only the API of OpenTelemetry is needed by it; the program chooses the SDK, and sets
// otel.SetMeterProvider and otel.SetTracerProvider, or gives its providers in the
// options.
//
// The package is called wsotel, and not otel like its directory, so that it can be
// imported beside OpenTelemetry's own.
//
// # Metrics
//
// All of them have the attribute wechatws.client.name, unless MetricsOptions.Aggregate
// is set, and names that begin with wechatws.client. Of clients that are reported as
// one, they are the sum, where it does not say otherwise.
//
//	.count               {client}      up-down counter  by wechatws.client.state
//	.state.age           s             gauge            by wechatws.client.state; the longest of several
//	.connection.attempts {attempt}     counter
//	.connection.opened   {connection}  counter
//	.connection.dropped  {connection}  counter          by wechatws.drop.cause
//	.network.messages    {message}     counter          by network.io.direction: receive, transmit
//	.network.io          By            counter          by network.io.direction: receive, transmit
//	.queue.dropped       {message}     counter
//	.queue.messages      {message}     up-down counter
//	.queue.size          By            up-down counter
//	.queue.messages_max  {message}     gauge            the most there ever were; of several, in one of them
//	.inbox.messages      {message}     up-down counter
//	.inbox.messages_max  {message}     gauge            the most there ever were; of several, in one of them
//	.rtt.last            s             gauge            of several, the mean
//	.rtt.smoothed        s             gauge            of several, the mean
//	.rtt.smoothed_max    s             gauge            of several, the slowest one's
//	.rtt.worst           s             gauge            of several, the slowest one's
//	.last_error.age      s             gauge            of several, the latest
//
// The states are idle, connecting, open, waiting, offline, closed and failed. The causes
// are closed (the peer sent a close frame), lost (the connection broke), half_open (the
// peer fell silent), protocol (what came could not be taken) and local (Reconnect or
// Drop). Times that are not known yet are absent.
//
// A name costs 30 series. For thousands of clients set MetricsOptions.Aggregate, or give
// clients that belong together the same name.
//
// # Grafana
//
// Send both with the SDK's OTLP exporters (otlpmetrichttp and otlptracehttp) to Grafana
// Alloy or the OpenTelemetry Collector, and from there the metrics to Prometheus or Mimir
// and the traces to Tempo; for a try, the image grafana/otel-lgtm is all of it in one,
// listening on 4318. Prometheus 3 takes OTLP itself, under /api/v1/otlp, when started
// with --web.enable-otlp-receiver.
//
// In Prometheus the names have underscores, units and _total by default:
// wechatws_client_connection_attempts_total, wechatws_client_network_io_bytes_total,
// wechatws_client_rtt_smoothed_seconds, with the label wechatws_client_name. These are
// not the names of the package github.com/wechatws/wechatws/metrics/wsprom, so that
// its dashboard is not for them: who uses Prometheus alone is better off with that one.
// In Tempo, this finds the attempts that failed:
//
//	{ name = "wechatws.connect" && status = error }
package wsotel
