// Package wsotel reports wechatws clients to OpenTelemetry: metrics of their state, their
// connections and their messages ([NewMetrics]), and spans of connection attempts and
// messages ([Trace]).
//
//	client, err := wechatws.New(url, wechatws.WithTrace(wsotel.Trace(
//		wsotel.WithAttributes(wsotel.ClientName("room-9527")))))
//	if err != nil {
//		return err
//	}
//	metrics, err := wsotel.NewMetrics()
//	if err != nil {
//		return err
//	}
//	defer metrics.Close()
//	defer metrics.Add("room-9527", client)()
//
// The package needs only the API of OpenTelemetry. The program chooses the SDK, and calls
// otel.SetMeterProvider, otel.SetTracerProvider and otel.SetTextMapPropagator, or passes its
// own providers as options.
//
// # Spans
//
// A span named wechatws.connect lasts from the beginning of an attempt to its end, with the
// login and the functions of AfterConnect. It is live: spans that the functions of
// WithEndpoint, WithLogin and AfterConnect start with their contexts are its children, and
// the propagator writes it into the header of the handshake (traceparent), so that the
// server's spans are its children too. OpenTelemetry's default propagator writes nothing;
// set propagation.TraceContext{}.
//
// It is a child of the span in the context of Connect or Run while that span lasts. Later
// attempts are roots that are linked to it, since a client reconnects for longer than a
// trace should last.
//
// The span has the kind client and the attributes
//
//	wechatws.attempt           its number, as in wechatws.StateChange
//	wechatws.outcome           see OutcomeOpen and the others
//	wechatws.connection        the connection's number, as in wechatws.Message
//
// and when the attempt failed, besides the status Error with the library's text, which holds
// no secrets (unless wechatws.WithServerText adds what the server says),
//
//	wechatws.phase             DialError.Phase
//	error.type                 the handshake's HTTP status, "timeout", "panic", or else the phase
//	http.response.status_code  of the handshake, if there was an answer
//	server.address, .port      if they were known by then
//
// The phases of the attempt are its children, named wechatws.connect.endpoint, .resolve,
// .connect, .tls, .handshake, .login and .setup. They are made when the attempt has ended,
// from its timings, and not for phases that did not happen. The phase that failed lasts
// until the end of the attempt and has the same error.
//
// With [WithMessageSpans] the callbacks of each message run under a span named
// wechatws.message, of kind consumer. It is a root, linked to the span in the context of
// Connect or Run, and has the attributes
//
//	wechatws.message.type      its type, if there is one, cut at 200 bytes
//	wechatws.message.waited    seconds between its arrival and its callbacks
//	wechatws.connection        the connection's number
//	network.io.size            bytes of its data
//
// # Metrics
//
// All of them have the attribute wechatws.client.name, unless [WithAggregation] is given, and
// names that begin with wechatws.client. The values of clients that are reported together are
// sums, unless noted otherwise.
//
//	.count                    {client}      up-down counter  by wechatws.client.state
//	.state.age                s             gauge            by wechatws.client.state; of several, the longest
//	.away.age                 s             gauge            of several, of the one away for the longest
//	.connection.attempts      {attempt}     counter
//	.connection.opened        {connection}  counter
//	.connection.disconnected  {connection}  counter          by wechatws.disconnect.cause
//	.network.messages         {message}     counter          by network.io.direction: receive, transmit
//	.network.io               By            counter          by network.io.direction: receive, transmit
//	.messages.skipped         {message}     counter
//	.queue.dropped            {message}     counter
//	.queue.messages           {message}     up-down counter
//	.queue.size               By            up-down counter
//	.queue.messages_max       {message}     gauge            since the client was made; of several, the maximum
//	.inbox.messages           {message}     up-down counter
//	.inbox.messages_max       {message}     gauge            since the client was made; of several, the maximum
//	.rtt.last                 s             gauge            of several, the mean
//	.rtt.smoothed             s             gauge            of several, the mean
//	.rtt.smoothed_max         s             gauge            of several, the maximum
//	.rtt.max                  s             gauge            since the client was made; of several, the maximum
//	.last_error.age           s             gauge            of several, the latest
//
// The states are idle, connecting, open, waiting, offline, closed and failed. The causes
// are closed (the peer sent a close frame), lost (the connection broke), half_open (the
// connection was half-open), protocol (invalid data from the peer) and local (Reconnect or
// Disconnect). Unknown times are absent.
//
// A name costs 32 series. For thousands of clients use [WithAggregation], or give clients
// that belong together the same name.
//
// # Grafana
//
// Send both with the SDK's OTLP exporters (otlpmetrichttp and otlptracehttp) to Grafana
// Alloy or the OpenTelemetry Collector, and from there the metrics to Prometheus or Mimir
// and the traces to Tempo. To try it, the image grafana/otel-lgtm contains all of these and
// listens on port 4318. Prometheus 3 accepts OTLP itself, under /api/v1/otlp, when started with
// --web.enable-otlp-receiver.
//
// In Prometheus the names have underscores, units and _total by default:
// wechatws_client_connection_attempts_total, wechatws_client_network_io_bytes_total,
// wechatws_client_rtt_smoothed_seconds, with the label wechatws_client_name. These are
// not the names of the package github.com/wechatws/wechatws/metrics/wsprom, so that
// its dashboard does not work with them: with Prometheus alone, use that package.
// In Tempo, this finds the attempts that failed:
//
//	{ name = "wechatws.connect" && status = error }
package wsotel
