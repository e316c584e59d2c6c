// Package leasemodel is the lease protocol of the fleet as a small model, and an
// explorer that visits each state which the model can get into.
//
// The model is two workers with their sessions, and one room. A session is one thing
// here that dies for good and can be read to be dead; package sessionmodel shows that
// its keys in several buckets are that. Whatever may happen is an action: a function
// that takes a state and emits each state that may come next. The actions of a worker
// bear the numbers of the protocol's rules (worker.go); what the server and the network
// do is in bucket.go, and the inbound stream in stream.go.
// Nothing has to happen: a worker whose next action does not come is a worker that is
// paused, a message that does not come is late. The assumptions that forbid something
// are in World, the mistakes that may be built in are in Mistakes.
//
// Time is discrete, and the state has no absolute times, only what is left of them.
// Revisions are kept as ranks: only their order matters. So there are finitely many
// states, although the protocol may go on for ever.
package leasemodel
