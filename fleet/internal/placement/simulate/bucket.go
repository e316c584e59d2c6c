package main

import "time"

// A load is the calculated load of the buckets of leases and rooms.
type load struct {
	Renewals      float64 // writes a second while nothing happens
	Deliveries    float64 // to all watchers together, a second, while nothing happens
	PerWatcher    float64 // to one
	EachRoom      float64 // writes a second if each room had a lease of its own
	EachRoomThird float64 // and if it were renewed only each third of T

	LostWrites     int     // claims to write when a worker is lost
	LostDeliveries int     // of these, to all watchers together
	LostRequests   int     // of all that take them: the claim, the rooms, the last marker and the next one
	StartWrites    int     // claims to write when the whole fleet starts
	JoinDeliveries int     // to a worker that joins, before it knows all claims
	Rereads        float64 // requests a second for the rooms of held shards, of all workers
	Scores         int     // that a worker reckons when a worker joins or leaves

	ClaimBytes int // of all claims in the file store
}

// bucketLoad is the load under the protocol: each worker renews its one session each renewal, watches all
// leases and claims, and reads the rooms of its own shards. lost is the number of shards of the worker that
// is lost.
func bucketLoad(rooms, shards, workers, lost int, renewal, ttl time.Duration) load {
	l := load{
		Renewals:       float64(workers) / renewal.Seconds(),
		EachRoom:       float64(rooms) / renewal.Seconds(),
		EachRoomThird:  float64(rooms) / (ttl.Seconds() / 3),
		LostWrites:     lost,
		LostDeliveries: lost * workers,
		LostRequests:   4 * lost,
		StartWrites:    shards,
		JoinDeliveries: shards + workers,
		Rereads:        float64(shards) / time.Minute.Seconds(),
		Scores:         shards * workers,
		ClaimBytes:     shards * record(len("$KV.fleet-rooms.claim.1234"), len(`{"session":"0123456789abcdefghijkl","since":"2026-01-02T03:04:05.678901234Z"}`)),
	}
	l.PerWatcher = l.Renewals
	l.Deliveries = l.PerWatcher * float64(workers)
	return l
}

// record is the size of a message in a file store of a NATS server: 30 bytes around
// the subject and the data, and 4 more before the headers. A compare-and-set leaves
// its expected revision there.
func record(subject, data int) int {
	headers := len("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 1234567\r\n\r\n")
	return 30 + subject + 4 + headers + data
}
