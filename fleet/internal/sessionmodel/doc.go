// Package sessionmodel is a session of n keys as a small model, and an explorer that
// visits each state which the model can get into. Package leasemodel takes a session
// for one thing that dies for good and can be read to be dead: this one shows that it
// may.
//
// The model is one worker with one session, the servers that lead its keys, and one
// reader who wants to know whether the session has ended. Nothing has to happen: a
// worker or a reader whose next action does not come is paused. What is assumed is in
// World, the mistakes that may be built in are in Mistakes.
//
// Time is discrete, and the state has only what is left of each time. There are no
// revisions: a request that compares with one is dropped when its key changes.
package sessionmodel
