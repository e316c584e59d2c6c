// Package simulation runs the real fleet, its workers, handlers and senders, on a NATS cluster in memory,
// in virtual time, with faults by a schedule from a seed. There is nothing in it but tests.
//
//	go test ./internal/simulation
package simulation
