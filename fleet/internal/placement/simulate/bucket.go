package main

import "time"

// A load is the calculated load of the buckets of leases and claims.
type load struct {
	Renewals      float64 // writes a second while nothing happens
	Deliveries    float64 // to all watchers together, a second, while nothing happens
	PerWatcher    float64 // to one
	EachRoom      float64 // writes a second if each room had a lease of its own
	EachRoomThird float64 // and if it were renewed only each third of T

	LostWrites     int // claims to write when a worker is lost
	LostDeliveries int // of these claims, to all watchers together

	StartWrites     int // claims to write when the whole fleet starts
	StartDeliveries int // of these, to all watchers together
	JoinDeliveries  int // to a worker that joins, before it knows all claims

	Bytes         int // of the bucket in its file store
	BytesPerClaim int
}

// bucketLoad is the load under the protocol: each worker renews its one session each
// renewal, and each worker watches the whole bucket. lost is the number of rooms of
// the worker that is lost.
func bucketLoad(rooms, workers, lost int, renewal, ttl time.Duration) load {
	l := load{
		Renewals:       float64(workers) / renewal.Seconds(),
		EachRoom:       float64(rooms) / renewal.Seconds(),
		EachRoomThird:  float64(rooms) / (ttl.Seconds() / 3),
		LostWrites:     lost,
		LostDeliveries: lost * workers,
		StartWrites:    rooms,
		JoinDeliveries: rooms + workers,
		BytesPerClaim:  record(len("$KV.fleet-claims.")+len("room-1234567"), len(`{"session":"0123456789abcdefghijkl"}`)),
	}
	l.PerWatcher = l.Renewals
	l.Deliveries = l.PerWatcher * float64(workers)
	l.StartDeliveries = rooms * workers
	session := record(len("$KV.fleet-leases-1.")+22, 100)
	l.Bytes = rooms*l.BytesPerClaim + workers*session
	return l
}

// record is the size of a message in a file store of a NATS server: 30 bytes around
// the subject and the data, and 4 more before the headers. A compare-and-set leaves
// its expected revision there.
func record(subject, data int) int {
	headers := len("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 1234567\r\n\r\n")
	return 30 + subject + 4 + headers + data
}
