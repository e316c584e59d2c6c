// Package sessionmodel is a session of n keys as a small model, and an explorer that visits each state
// which the model can get into. Package leasemodel assumes that a session dies permanently, and that
// reading proves it dead: this package shows that.
//
// The model has one worker with one session, the servers that lead its keys, and one reader that finds
// out whether the session has ended. No action has to happen: a worker or a reader whose next action does
// not come is paused. Assumptions are in World, and deliberate mistakes in Mistakes.
//
// Time is discrete, and the state has only the rest of each time. There are no revisions: a request that
// compares with one is dropped when its key changes.
package sessionmodel
