// Package leasemodel is the lease protocol of the fleet as a small model, and an
// explorer that visits each state which the model can get into.
//
// The model has two workers with their sessions, and one room of a shard. A session is a single key here, which dies
// permanently, and of which a read proves that it is dead. An action is a function that takes a state and emits each
// state that may come next. The actions of a worker have the numbers of the protocol's rules (worker.go).
// Those of the server and the network are in bucket.go, and those of the inbound stream in stream.go. No
// action has to happen: a worker whose next action does not come is paused, and a message that does not
// arrive is late. Assumptions are in World, and deliberate mistakes in Mistakes.
//
// Time is discrete, and the state has no absolute times, only the rest of each. Revisions are kept as
// ranks, since only their order matters. So the number of states is finite, although the protocol runs
// for ever.
package leasemodel
