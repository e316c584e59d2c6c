package simulation

import "time"

// many is from how many messages on their cost is checked. Below, it is lost in that of other things.
const many = 5_000

// maxCost is how many times as much as accepting a message it may cost to drop it or to hand it back.
// It is about 1; if it took time in proportion to the queue, it would be 20 and more. What it costs to
// write it cannot be told from what the server and the network of the simulation take.
const maxCost = 6

// costs are about the processor time that messages take.
type costs struct {
	used     time.Duration // by the process, until the last step
	queued   int           // after the last step
	wrote    int           // messages that were written in this step
	accepted time.Duration // what it cost to accept a message, when there were many
}

// checkCost checks what a step has cost if many messages have come or gone in it.
func (w *world) checkCost(queued int) {
	used := processorTime()
	took, change, wrote := used-w.used, queued-w.queued, w.wrote
	w.used, w.queued, w.wrote = used, queued, 0
	switch {
	case change >= many:
		w.accepted = took / time.Duration(change)
	case wrote == 0 && change <= -many && w.accepted > 0 && took/time.Duration(-change) > maxCost*w.accepted:
		w.fail("cost: %d messages have left the queue in %v, %v each; accepting one took %v", -change, took, took/time.Duration(-change), w.accepted)
	}
}
