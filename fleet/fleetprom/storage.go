package fleetprom

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatws/wechatws/fleet"
)

// storageTimeout is how long a scrape waits for NATS. Prometheus waits for 10 s by default, and would drop
// the other metrics of the process with these.
const storageTimeout = 3 * time.Second

// NewStorage makes a collector of what NATS keeps for a fleet. Each scrape calls [fleet.Control.Storage],
// which sends NATS a request for each stream, and waits for 3 s at most. If it fails, nothing is reported.
// Any process of the fleet may have this collector, and one is enough. NewStorage panics if f is nil.
func NewStorage(f *fleet.Fleet) prometheus.Collector {
	if f == nil {
		panic("fleetprom: NewStorage: the fleet is nil")
	}
	c := newCollector("stream", func(s *fleet.StorageStatus) string { return s.Stream }, storageFamilies)
	c.stats = append(c.stats, func() []fleet.StorageStatus {
		ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
		defer cancel()
		list, _ := f.Control().Storage(ctx)
		return list
	})
	return c
}

var storageFamilies = []family[fleet.StorageStatus]{
	{"storage_bytes", "Bytes that a stream or bucket of the fleet has.", gauge, func(s *fleet.StorageStatus) float64 { return float64(s.Bytes) }},
	{"storage_max_bytes", "Bytes that it may have.", gauge, func(s *fleet.StorageStatus) float64 {
		if s.MaxBytes <= 0 { // unlimited
			return math.Inf(1)
		}
		return float64(s.MaxBytes)
	}},
	{"storage_messages", "Messages or keys that it has.", gauge, func(s *fleet.StorageStatus) float64 { return float64(s.Messages) }},
	{"storage_age_seconds", "Age of its oldest message; 0 if it is empty.", gauge, func(s *fleet.StorageStatus) float64 { return s.Age.Seconds() }},
}
