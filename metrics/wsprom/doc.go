// Package wsprom tells Prometheus about wechatws clients: whether they are connected,
// why they were dropped, what goes through them, and how far away the server is.
//
//	collector := wsprom.New(wsprom.Options{})
//	prometheus.MustRegister(collector)
//	defer collector.Add("room-9527", client)()
//
// The package is called wsprom, and not prometheus like its directory, so that it can
// be imported beside the client library of Prometheus.
//
// # Metrics
//
// All of them have the label client, unless Options.Aggregate is set. Of clients that
// are reported as one, gauges are the sum, where it does not say otherwise.
//
//	wechatws_clients{state}                        gauge    1 for the state that it is in; of several, how many
//	wechatws_state_start_timestamp_seconds{state}  gauge    of several, of the one that is in it longest
//	wechatws_connection_attempts_total             counter
//	wechatws_connections_opened_total              counter
//	wechatws_connections_dropped_total{cause}      counter
//	wechatws_last_error_timestamp_seconds          gauge    of several, the latest
//	wechatws_received_messages_total               counter
//	wechatws_received_bytes_total                  counter
//	wechatws_sent_messages_total                   counter
//	wechatws_sent_bytes_total                      counter
//	wechatws_dropped_messages_total                counter
//	wechatws_queue_messages                        gauge
//	wechatws_queue_bytes                           gauge
//	wechatws_queue_messages_max                    gauge    the most there ever were; of several, in one of them
//	wechatws_inbox_messages                        gauge
//	wechatws_inbox_messages_max                    gauge    the most there ever were; of several, in one of them
//	wechatws_rtt_last_seconds                      gauge    of several, the mean
//	wechatws_rtt_smoothed_seconds                  gauge    of several, the mean
//	wechatws_rtt_smoothed_max_seconds              gauge    of several, the slowest one's
//	wechatws_rtt_worst_seconds                     gauge    of several, the slowest one's
//
// state is idle, connecting, open, waiting, offline, closed or failed. cause is closed
// (the peer sent a close frame), lost (the connection broke), half_open (the peer fell
// silent), protocol (what came could not be taken) or local (Reconnect or Disconnect).
//
// Times that are not known yet are absent: round-trip times before the first
// measurement, the last error before the first error. No label and no help text holds
// a URL or an error's text.
//
// # How many series
//
// A name costs 30 series. That is nothing for ten clients, bearable for some hundred,
// and a burden for thousands. There are two ways out. Options.Aggregate gives all
// clients 30 series together. Or give clients that belong together the same name, such
// as that of their region, and each name is reported as one. What is lost is which
// client it was; that is what logs are for.
//
// To tell two collectors apart, or to add labels of your own, register with
// prometheus.WrapRegistererWith. One with Aggregate and one without cannot be in the
// same registry, nor need they be: sum without (client) (…) makes the one of the other.
//
// # What to watch
//
//	# not connected, although they should be; with "for: 5m"
//	sum without (state) (wechatws_clients{state=~"connecting|waiting|offline"}) > 0
//	# a permanent error: there is no further attempt
//	wechatws_clients{state="failed"} > 0
//	# a server that throws clients out
//	sum by (cause) (rate(wechatws_connections_dropped_total[5m])) > 0.1
//	# callbacks that cannot keep up, of an inbox of 1,024
//	wechatws_inbox_messages > 900
//	# the network has become slow, for some client at least
//	wechatws_rtt_smoothed_max_seconds > 0.5
//
// A wait begins anew with each attempt that fails, and so does its
// wechatws_state_start_timestamp_seconds: that is for states that last, such as open.
//
// # Grafana
//
// dashboard.json beside this file is a dashboard for these metrics: in Grafana, under
// Dashboards, New, Import. It asks for nothing; the data source, the job and the
// clients are variables at its top. Without the label client its second half shows all
// clients as one.
package wsprom
