package leasemodel

// A Model is the protocol with assumptions and mistakes.
type Model struct {
	World
	Mistakes
}

// A World has the assumptions about the environment of the protocol, and the times, in ticks.
type World struct {
	// T is the time to live of a session, M the margin: clients are closed M before the
	// end of the lease, and from M/2 before it nothing can be written any more.
	T, M uint8
	// D is how much earlier than T after a renewal a session may die on the server: the
	// difference between the clocks of the NATS servers and of the worker in that time.
	D uint8
	// Clocks is true if there are clocks. Without them sessions die at any time, and the
	// guard always permits a write: the worst case of clocks.
	Clocks bool
	// Pauses is where a worker's process may be stopped for any time.
	Pauses Pauses
	// Writes is true if writes to the room's socket are modeled: the call of the guard and
	// the write are two actions.
	Writes bool
	// Stream is true if there is an inbound stream.
	Stream bool
	// HandsOver is true if a worker may hand the room over to the other one's session.
	HandsOver bool
	// Touched is true if the claim changes for other rooms of the shard.
	Touched bool
	// Crashes is true if workers crash and start again.
	Crashes bool
	// Sessions is how many sessions each of the two workers may have, one after the
	// other.
	Sessions [workers]uint8
	// Prompt is true if an answer comes at once or never. (Requests and the watch may be
	// late all the same.)
	Prompt bool
	// Symmetric is true if states that differ only by an exchange of the workers are one
	// state. It must be false if a property is broken: the workers would change places in
	// the trace.
	Symmetric bool
	// Slots is how many requests of a worker, or their answers, may be under way.
	Slots int
}

// Pauses is where a worker's process may be stopped.
type Pauses uint8

const (
	// Anywhere is what real processes do.
	Anywhere Pauses = iota
	// NotInWrites is anywhere but between the call of the guard and the write.
	NotInWrites
	// Nowhere is a worker that always closes its client within half a margin.
	Nowhere
)

// Mistakes change the protocol, each by leaving out one of its parts.
type Mistakes struct {
	// NoFence: messages are published to the inbound stream without a condition.
	NoFence bool
	// NoMargin: the client is closed, and the guard refuses writes, only when T has passed.
	NoMargin bool
	// NoCompareAndSet: a claim is written without compare-and-set.
	NoCompareAndSet bool
	// UnknownIsDead: a session that the watch has not reported is taken for dead at once,
	// although the watch may be late at any time.
	UnknownIsDead bool
	// ReleaseBeforeClose: the claim is freed while the client is still open.
	ReleaseBeforeClose bool
	// ReopenAfterRelease: after a release without an answer the worker opens its client
	// again under the same fence, since the watch still shows its claim.
	ReopenAfterRelease bool
	// RenewResurrects: a renewal revives a session that has died, and extends the lease
	// although it has run out.
	RenewResurrects bool
	// ReadRenews: a worker that reads that its session is alive extends its lease.
	ReadRenews bool
	// BeginBeforeClose: a worker that has lost its session begins the next one before the
	// clients of the lost one are closed, and the guard checks only the time.
	BeginBeforeClose bool
	// OpenUnmarked: a worker that has taken the room opens its client without publishing a marker.
	OpenUnmarked bool
	// HandOverUnknown: a room is handed over although the outcome of a publication is not known.
	HandOverUnknown bool
	// StreamForgets: the inbound stream may lose the last marker.
	StreamForgets bool
	// AdoptMarker: a worker whose message was refused publishes under the last marker of
	// any worker.
	AdoptMarker bool
}

// margin returns M, or 0 with NoMargin.
func (m *Model) margin() uint8 {
	if m.NoMargin {
		return 0
	}
	return m.M
}

// leased reports whether a worker with so much left of its lease may have clients open.
func (m *Model) leased(left uint8) bool { return !m.Clocks || left > m.margin() }

// guarded reports whether the guard permits a write with so much left of the lease.
func (m *Model) guarded(left uint8) bool { return !m.Clocks || left > m.margin()/2 }
