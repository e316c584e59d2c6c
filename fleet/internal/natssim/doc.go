// Package natssim has a NATS cluster in memory, for simulations of the fleet in the bubble of a
// testing/synctest test.
//
// It speaks the protocol of NATS with clients, so that the program under test uses the real NATS client,
// and has as much of JetStream as the fleet uses. All of it is one state behind one mutex, and a queue of
// events that happen at a time: there are no goroutines, and what is random comes from a seed. Servers may
// be stopped, started, wiped, cut from each other and from clients; requests and answers may be late or
// lost; replicas may be behind; the store may be full.
//
// Faults are those of the real servers, as far as they are known: a leader that is cut from the others
// still answers reads, and commits nothing until it is one of the majority again; a stream without a leader
// does not answer; a consumer is lost with its server.
package natssim
