package fleetprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatws/wechatws/fleet"
)

// New makes a collector of workers. It reads [fleet.Worker.Stats] at each scrape, which does not block,
// and does nothing in between. Workers of one registry must have different names. New panics if a
// worker is nil.
func New(workers ...*fleet.Worker) prometheus.Collector {
	c := newCollector("worker", func(s *fleet.WorkerStats) string { return s.Name }, workerFamilies)
	for _, w := range workers {
		if w == nil { // here, and not in the middle of a scrape
			panic("fleetprom: New: worker is nil")
		}
		c.stats = append(c.stats, func() []fleet.WorkerStats { return []fleet.WorkerStats{w.Stats()} })
	}
	return c
}

// NewHandlers makes a collector of handlers, as [New] does of workers, by [fleet.Handlers.Stats]. Handlers
// of one registry must be of different groups. NewHandlers panics if handlers are nil.
func NewHandlers(handlers ...*fleet.Handlers) prometheus.Collector {
	c := newCollector("group", func(s *fleet.HandlersStats) string { return s.Group }, groupFamilies)
	for _, h := range handlers {
		if h == nil {
			panic("fleetprom: NewHandlers: handlers are nil")
		}
		c.stats = append(c.stats, func() []fleet.HandlersStats { return []fleet.HandlersStats{h.Stats()} })
	}
	return c
}

// A collector collects snapshots of type S.
type collector[S any] struct {
	stats    []func() []S
	label    func(*S) string // the value of the only label
	families []family[S]
	descs    []*prometheus.Desc // of families
}

// A family is what is reported under one name.
type family[S any] struct {
	name, help string
	kind       prometheus.ValueType
	read       func(s *S) float64
}

func newCollector[S any](label string, value func(*S) string, families []family[S]) *collector[S] {
	c := &collector[S]{label: value, families: families}
	for _, f := range families {
		c.descs = append(c.descs, prometheus.NewDesc("wechatws_fleet_"+f.name, f.help, []string{label}, nil))
	}
	return c
}

func (c *collector[S]) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *collector[S]) Collect(ch chan<- prometheus.Metric) {
	for _, stats := range c.stats {
		for _, s := range stats() {
			for i, f := range c.families {
				ch <- prometheus.MustNewConstMetric(c.descs[i], f.kind, f.read(&s), c.label(&s))
			}
		}
	}
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

var workerFamilies = []family[fleet.WorkerStats]{
	{"rooms", "Rooms that the worker holds.", gauge, func(s *fleet.WorkerStats) float64 { return float64(s.Rooms) }},
	{"rooms_open", "Rooms that the worker holds and has an open connection to.", gauge, func(s *fleet.WorkerStats) float64 { return float64(s.Open) }},
	{"shards", "Shards of which the worker holds rooms, or may.", gauge, func(s *fleet.WorkerStats) float64 { return float64(s.Shards) }},
	{"unheld_shards", "Shards of the whole fleet that no worker holds, as the worker knew last.", gauge, func(s *fleet.WorkerStats) float64 { return float64(s.Unheld) }},
	{"ready", "1 when the worker has a lease and knows all shards, else 0.", gauge, func(s *fleet.WorkerStats) float64 { return flag(s.Ready) }},
	{"lease_remaining_seconds", "How long the worker may hold its rooms without another renewal of its lease; 0 without a lease.", gauge, func(s *fleet.WorkerStats) float64 { return s.Lease.Seconds() }},
	{"rooms_taken_total", "Rooms that the worker began to hold.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Taken) }},
	{"rooms_released_total", "Rooms that the worker handed over or gave up.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Released) }},
	{"received_messages_total", "Messages from rooms that are in the stream.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.In) }},
	{"unpublished_messages_total", "Messages from rooms that could not be published.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Unpublished) }},
	{"over_budget_messages_total", "Messages from rooms that were dropped, since the room had sent more than its budget.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.OverBudget) }},
	{"delivered_messages_total", "Messages to rooms that were delivered.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Out) }},
	{"expired_messages_total", "Messages to rooms that had expired before they could be delivered.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Expired) }},
	{"undeliverable_messages_total", "Messages to rooms that no client can write.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Undeliverable) }},
	{"errors_total", "Errors about rooms that were reported to the functions of OnError.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Errors) }},
}

var groupFamilies = []family[fleet.HandlersStats]{
	{"group_ready", "1 when the handlers run and reach NATS, else 0.", gauge, func(s *fleet.HandlersStats) float64 { return flag(s.Ready) }},
	{"group_partitions", "Partitions of the group that this process has.", gauge, func(s *fleet.HandlersStats) float64 { return float64(s.Partitions) }},
	{"group_lag_messages", "Messages of these partitions that are not handled.", gauge, func(s *fleet.HandlersStats) float64 { return float64(s.Lag) }},
	{"group_held_rooms", "Rooms that wait for another attempt at a message.", gauge, func(s *fleet.HandlersStats) float64 { return float64(s.Held) }},
	{"group_memory_bytes", "About the memory that messages take which are not handled.", gauge, func(s *fleet.HandlersStats) float64 { return float64(s.Bytes) }},
	{"group_handled_messages_total", "Messages that are done with, whatever the outcome.", counter, func(s *fleet.HandlersStats) float64 { return float64(s.Handled) }},
	{"group_retried_messages_total", "Attempts at messages that have failed and were not the last one.", counter, func(s *fleet.HandlersStats) float64 { return float64(s.Retried) }},
	{"group_undecodable_messages_total", "Messages that did not decode into the type of a callback.", counter, func(s *fleet.HandlersStats) float64 { return float64(s.Undecodable) }},
	{"group_given_up_messages_total", "Messages that callbacks have failed for good.", counter, func(s *fleet.HandlersStats) float64 { return float64(s.GivenUp) }},
	{"group_errors_total", "Errors that were reported to the functions of Handlers.OnError.", counter, func(s *fleet.HandlersStats) float64 { return float64(s.Errors) }},
}
