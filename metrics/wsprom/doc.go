// Package wsprom exports the statistics of wechatws clients to Prometheus: whether they
// are connected, why they were disconnected, their traffic and their round-trip times.
//
//	collector := wsprom.New()
//	prometheus.MustRegister(collector)
//	defer collector.Add("room-9527", client)()
//
// # Metrics
//
// All metrics have the label client, except with [WithAggregation]. The gauges of clients
// that are reported together are sums, unless noted otherwise.
//
//	wechatws_clients{state}                        gauge    1 for the client's state; of several clients, how many
//	wechatws_state_start_timestamp_seconds{state}  gauge    of several, of the one longest in the state
//	wechatws_away_start_timestamp_seconds          gauge    of several, of the one away for longest
//	wechatws_connection_attempts_total             counter
//	wechatws_connections_opened_total              counter
//	wechatws_disconnects_total{cause}              counter
//	wechatws_last_error_timestamp_seconds          gauge    of several, the latest
//	wechatws_received_messages_total               counter
//	wechatws_received_bytes_total                  counter
//	wechatws_skipped_messages_total                counter
//	wechatws_sent_messages_total                   counter
//	wechatws_sent_bytes_total                      counter
//	wechatws_dropped_messages_total                counter
//	wechatws_queue_messages                        gauge
//	wechatws_queue_bytes                           gauge
//	wechatws_queue_max_messages                    gauge    since the client was made; of several, the maximum
//	wechatws_inbox_messages                        gauge
//	wechatws_inbox_max_messages                    gauge    since the client was made; of several, the maximum
//	wechatws_rtt_last_seconds                      gauge    of several, the mean
//	wechatws_rtt_smoothed_seconds                  gauge    of several, the mean
//	wechatws_rtt_smoothed_max_seconds              gauge    of several, the maximum
//	wechatws_rtt_max_seconds                       gauge    since the client was made; of several, the maximum
//
// state is idle, connecting, open, waiting, offline, closed or failed. cause is closed
// (the peer sent a close frame), lost (the connection broke), half_open (the connection
// was half-open), protocol (invalid data from the peer) or local (Reconnect or Disconnect).
//
// Unknown times are absent: round-trip times before the first measurement, the last error
// before the first error. No label and no help text contains a URL or an error's text.
//
// # How many series
//
// Each name costs 32 series: little for ten clients, acceptable for some hundred, too much
// for thousands. There are two ways to have fewer. [WithAggregation] reports all clients in
// 32 series together. Or clients that belong together get the same name, such as that of
// their region, and each name is reported as one. Individual clients are then only in the
// logs.
//
// To distinguish two collectors, or to add labels, register them with
// [prometheus.WrapRegistererWith]. A collector with WithAggregation and one without cannot
// be in the same registry; sum without (client) (…) makes the former of the latter.
//
// # What to watch
//
//	# not connected, although they should be; with "for: 5m"
//	sum without (state) (wechatws_clients{state=~"connecting|waiting|offline"}) > 0
//	# a permanent error: the client does not reconnect
//	wechatws_clients{state="failed"} > 0
//	# a server that disconnects clients
//	sum by (cause) (rate(wechatws_disconnects_total[5m])) > 0.1
//	# a client that has not been open for two minutes, as Client.Healthy has it
//	time() - wechatws_away_start_timestamp_seconds > 120
//	# callbacks that cannot keep up, of an inbox of 1,024
//	wechatws_inbox_messages > 900
//	# the network has become slow, for some client at least
//	wechatws_rtt_smoothed_max_seconds > 0.5
//
// A wait restarts with each failed attempt, and so does its
// wechatws_state_start_timestamp_seconds: use that for states that last, such as open, and
// wechatws_away_start_timestamp_seconds for outages.
//
// # Grafana
//
// dashboard.json beside this file is a dashboard for these metrics: in Grafana, under
// Dashboards, New, Import. The data source, the job and the clients are variables at its
// top. Without the label client its second half shows all clients as one.
package wsprom
