package fleetprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatws/wechatws/fleet"
)

// New makes a collector of workers. It reads [fleet.Worker.Stats] at each scrape, which does not block,
// and does nothing in between. Workers of one registry must have different names. New panics if a
// worker is nil.
func New(workers ...*fleet.Worker) prometheus.Collector {
	c := &collector{workers: workers}
	for _, w := range workers {
		if w == nil { // here, and not in the middle of a scrape
			panic("fleetprom: New: worker is nil")
		}
	}
	for _, f := range families {
		c.descs = append(c.descs, prometheus.NewDesc("wechatws_fleet_"+f.name, f.help, []string{"worker"}, nil))
	}
	return c
}

type collector struct {
	workers []*fleet.Worker
	descs   []*prometheus.Desc // of families
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, w := range c.workers {
		s := w.Stats()
		for i, f := range families {
			ch <- prometheus.MustNewConstMetric(c.descs[i], f.kind, f.read(&s), s.Name)
		}
	}
}

// A family is what is reported under one name.
type family struct {
	name, help string
	kind       prometheus.ValueType
	read       func(s *fleet.WorkerStats) float64
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

var families = []family{
	{"rooms", "Rooms that the worker holds.", gauge, func(s *fleet.WorkerStats) float64 { return float64(s.Rooms) }},
	{"rooms_open", "Rooms that the worker holds and has an open connection to.", gauge, func(s *fleet.WorkerStats) float64 { return float64(s.Open) }},
	{"shards", "Shards of which the worker holds rooms, or may.", gauge, func(s *fleet.WorkerStats) float64 { return float64(s.Shards) }},
	{"unheld_shards", "Shards of the whole fleet that no worker holds, as the worker knew last.", gauge, func(s *fleet.WorkerStats) float64 { return float64(s.Unheld) }},
	{"ready", "1 when the worker has a lease and knows all shards, else 0.", gauge, func(s *fleet.WorkerStats) float64 {
		if s.Ready {
			return 1
		}
		return 0
	}},
	{"lease_remaining_seconds", "How long the worker may hold its rooms without another renewal of its lease; 0 without a lease.", gauge, func(s *fleet.WorkerStats) float64 { return s.Lease.Seconds() }},
	{"rooms_taken_total", "Rooms that the worker began to hold.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Taken) }},
	{"rooms_released_total", "Rooms that the worker handed over or gave up.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Released) }},
	{"received_messages_total", "Messages from rooms that are in the stream.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.In) }},
	{"unpublished_messages_total", "Messages from rooms that could not be published.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Unpublished) }},
	{"delivered_messages_total", "Messages to rooms that were delivered.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Out) }},
	{"expired_messages_total", "Messages to rooms that had expired before they could be delivered.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Expired) }},
	{"undeliverable_messages_total", "Messages to rooms that no client can write, and that were removed.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Undeliverable) }},
	{"errors_total", "Errors about rooms that were reported to the functions of OnError.", counter, func(s *fleet.WorkerStats) float64 { return float64(s.Errors) }},
}
