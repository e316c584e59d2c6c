// Package fleetprom exports the statistics of a fleet's workers and handlers to Prometheus: how many rooms
// each worker holds, the rest of its lease, and the messages that go through it; how many messages of a
// group are not handled; how full the fleet's streams in NATS are.
//
//	prometheus.MustRegister(fleetprom.New(worker), fleetprom.NewHandlers(handlers), fleetprom.NewStorage(f))
//
// # Metrics
//
// Those of workers have the label worker, and no other: fourteen series a worker, however many rooms it
// holds. Those of handlers have the label group: ten series a process of a group. Those of the storage have
// the label stream, which is the name of a stream or bucket in NATS: four series for each.
//
//	wechatws_fleet_rooms                        gauge    that it holds
//	wechatws_fleet_rooms_open                   gauge    of these, with an open connection
//	wechatws_fleet_shards                       gauge    of which it holds rooms, or may
//	wechatws_fleet_unheld_shards                gauge    of the whole fleet, that no worker holds
//	wechatws_fleet_ready                        gauge    1: it has a lease and knows all shards
//	wechatws_fleet_lease_remaining_seconds      gauge    how long it may hold them without another renewal
//	wechatws_fleet_rooms_taken_total            counter
//	wechatws_fleet_rooms_released_total         counter
//	wechatws_fleet_received_messages_total      counter  from rooms, that are in the stream
//	wechatws_fleet_unpublished_messages_total   counter  from rooms, that could not be published
//	wechatws_fleet_over_budget_messages_total   counter  from rooms, that had sent more than their budget
//	wechatws_fleet_delivered_messages_total     counter  to rooms
//	wechatws_fleet_expired_messages_total       counter  to rooms, that had expired
//	wechatws_fleet_undeliverable_messages_total counter  to rooms, that no client can write
//	wechatws_fleet_errors_total                 counter  errors reported to the functions of OnError
//
//	wechatws_fleet_group_ready                      gauge    1: the handlers run and reach NATS
//	wechatws_fleet_group_partitions                 gauge    that the process has
//	wechatws_fleet_group_lag_messages               gauge    of these partitions, that are not handled
//	wechatws_fleet_group_held_rooms                 gauge    that wait for another attempt
//	wechatws_fleet_group_memory_bytes               gauge    of messages that are not handled
//	wechatws_fleet_group_handled_messages_total     counter
//	wechatws_fleet_group_retried_messages_total     counter  attempts that have failed
//	wechatws_fleet_group_undecodable_messages_total counter  dead letters that did not decode
//	wechatws_fleet_group_given_up_messages_total    counter  dead letters that callbacks have failed
//	wechatws_fleet_group_errors_total               counter  errors reported to the functions of OnError
//
//	wechatws_fleet_storage_bytes       gauge    that the stream has
//	wechatws_fleet_storage_max_bytes   gauge    that it may have
//	wechatws_fleet_storage_messages    gauge    or keys
//	wechatws_fleet_storage_age_seconds gauge    of the oldest message
//
// # What to watch
//
//	# shards whose rooms no worker holds; with "for: 1m"
//	max(wechatws_fleet_unheld_shards) > 0
//	# rooms that a worker holds and has no connection to; with "for: 2m"
//	sum(wechatws_fleet_rooms - wechatws_fleet_rooms_open) > 0
//	# a worker without a lease, which has closed its rooms; with "for: 1m"
//	wechatws_fleet_ready == 0
//	# NATS is slow to renew leases, of 8 s: half of one is gone
//	wechatws_fleet_lease_remaining_seconds < 4
//	# rooms change hands all the time; with "for: 15m"
//	sum(rate(wechatws_fleet_rooms_taken_total[5m])) > 1
//	# messages to rooms that no client can write: fleetctl dead
//	rate(wechatws_fleet_undeliverable_messages_total[5m]) > 0
//	# messages from rooms are lost to the handlers
//	rate(wechatws_fleet_unpublished_messages_total[5m]) > 0
//	# a room sends more than its budget, and the rest is dropped
//	rate(wechatws_fleet_over_budget_messages_total[5m]) > 0
//	# a group falls behind; with "for: 10m"
//	sum by (group) (wechatws_fleet_group_lag_messages) > 10000
//	# nothing handles some partitions of 16, as seen by those that run; with "for: 1m"
//	sum by (group) (wechatws_fleet_group_partitions) < 16
//	# new dead letters: fleetctl dead
//	rate(wechatws_fleet_group_undecodable_messages_total[5m]) + rate(wechatws_fleet_group_given_up_messages_total[5m]) > 0
//	# messages from rooms will soon be discarded, handled or not
//	wechatws_fleet_storage_bytes{stream=~".+-in"} / wechatws_fleet_storage_max_bytes > 0.8
//	# NATS will soon refuse messages to rooms, new rooms, leases, or positions of handlers
//	wechatws_fleet_storage_bytes{stream!~".+-(in|dead)"} / wechatws_fleet_storage_max_bytes > 0.8
//	# messages to rooms wait for more than an hour: no worker can enter the room, or they are not confirmed
//	wechatws_fleet_storage_age_seconds{stream=~".+-out"} > 3600
//
// alerts.yml, beside this file, has them as rules. With several fleets in one Prometheus each
// sum and maximum is by the label that distinguishes them, such as the job.
//
// # The clients of the rooms
//
// They are exported by package metrics/wsprom, all as one by WithAggregation. Their counters must be
// counted from the beginning, so each client is added in the function given to [fleet.Fleet.NewWorker].
//
//	clients := wsprom.New(wsprom.WithAggregation())
//	f.NewWorker(func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
//		c, err := r.NewClient(r.Endpoint)
//		if err != nil {
//			return nil, err
//		}
//		remove := clients.Add("", c)
//		context.AfterFunc(ctx, remove) // when the room is given up
//		return c, nil
//	})
//
// When a client has failed permanently, the function is called again with the same ctx, and makes
// another one: fleet/deploy/worker shows how the new one replaces the old one.
//
// Values without a history, such as a histogram of the current round-trip times, are better read from
// [fleet.Worker.Clients] at each scrape.
//
// # Grafana
//
// dashboard.json, beside this file, is a dashboard: in Grafana, under Dashboards, New,
// Import. It needs no input; the data source and the workers are variables at its top.
package fleetprom
