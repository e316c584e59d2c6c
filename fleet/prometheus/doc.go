// Package fleetprom tells Prometheus about a fleet's workers: how many rooms each holds, how
// long its lease is good for, and what goes through it.
//
//	prometheus.MustRegister(fleetprom.New(worker))
//
// The package is called fleetprom, and not prometheus like its directory, so that it can be
// imported beside the client library of Prometheus.
//
// # Metrics
//
// All have the label worker.
//
//	wechatws_fleet_rooms                       gauge    that it holds
//	wechatws_fleet_rooms_open                  gauge    of these, with an open connection
//	wechatws_fleet_ready                       gauge    1: it has a lease and knows all rooms
//	wechatws_fleet_lease_remaining_seconds     gauge    how long it may hold them without another renewal
//	wechatws_fleet_rooms_taken_total           counter
//	wechatws_fleet_rooms_released_total        counter
//	wechatws_fleet_received_messages_total     counter  from rooms, that are in the stream
//	wechatws_fleet_unpublished_messages_total  counter  from rooms, that could not be published
//	wechatws_fleet_delivered_messages_total    counter  to rooms
//	wechatws_fleet_expired_messages_total      counter  to rooms, that had expired
//	wechatws_fleet_errors_total                counter  calls of OnError
//
// # What to watch
//
//	# rooms that nobody is in, although a worker holds them; with "for: 2m"
//	sum(wechatws_fleet_rooms - wechatws_fleet_rooms_open) > 0
//	# a worker without a lease, which has closed its rooms; with "for: 1m"
//	wechatws_fleet_ready == 0
//	# NATS is slow to renew leases: half of one is gone
//	wechatws_fleet_lease_remaining_seconds < 4
//	# rooms change hands although no worker comes or goes
//	sum(rate(wechatws_fleet_rooms_taken_total[5m])) > 1
//	# messages from rooms are lost to the handlers
//	rate(wechatws_fleet_unpublished_messages_total[5m]) > 0
//
// Rooms that no worker holds are in nobody's metrics: compare the sum of wechatws_fleet_rooms
// with how many there should be.
//
// The clients of the rooms themselves are those of package metrics/prometheus: with
// Options.Aggregate, add each in WorkerConfig.Connect.
//
// # Grafana
//
// dashboard.json, beside this file, is a dashboard.
package fleetprom
