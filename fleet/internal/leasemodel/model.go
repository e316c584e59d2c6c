package leasemodel

// A Model is what is explored.
type Model struct {
	World
	Mistakes
}

// A World is what is assumed about all that is around the protocol, and its times.
// All times are in ticks.
type World struct {
	// T is the time to live of a session, M the margin: clients are closed M before the
	// end of the lease, and from M/2 before it nothing can be written any more.
	T, M uint8
	// D is how much earlier than T after a renewal the server may let a session die:
	// what the clocks of the NATS servers and of the worker differ in that time.
	D uint8
	// Clocks tells that there are clocks. Without them sessions die whenever they like,
	// and the guard always says yes: the worst that clocks could do.
	Clocks bool
	// Pauses is where a worker's process may stand still for any time.
	Pauses Pauses
	// Writes tells that writing to the room's socket is looked at: the question to the
	// guard and the write are two actions.
	Writes bool
	// Stream tells that there is an inbound stream.
	Stream bool
	// Crashes tells that workers crash and start again.
	Crashes bool
	// Sessions is how many sessions each of the two workers may have, one after the
	// other.
	Sessions [workers]uint8
	// Prompt tells that an answer comes at once, or else never. (Requests are late all
	// the same, and the watch is.)
	Prompt bool
	// Symmetric takes states for one that differ only in which worker is which. It may
	// be used if nothing is broken: in a trace the workers would change places.
	Symmetric bool
	// Slots is how many requests of a worker, or their answers, may be under way.
	Slots int
}

// Pauses is where a worker's process may stand still.
type Pauses uint8

const (
	// Anywhere is where the real ones may.
	Anywhere Pauses = iota
	// NotInWrites is anywhere but between the guard's yes and the write.
	NotInWrites
	// Nowhere is a worker that always closes its client within half a margin.
	Nowhere
)

// Mistakes are what the protocol would be without one of its parts.
type Mistakes struct {
	// NoFence: what goes to the inbound stream is not published by compare-and-set.
	NoFence bool
	// NoMargin: the client is closed, and the guard says no, only when T has passed.
	NoMargin bool
	// NoCompareAndSet: a claim is just put.
	NoCompareAndSet bool
	// UnknownIsDead: a session that the watch has not told of (which it may not at any
	// time) is taken for dead at once.
	UnknownIsDead bool
	// ReleaseBeforeClose: the claim is freed while the client is still open.
	ReleaseBeforeClose bool
	// ReopenAfterRelease: a release that was not answered is taken back by opening
	// again under the same fence, as the watch still shows the worker's claim.
	ReopenAfterRelease bool
	// RenewResurrects: a renewal revives a session that has died, and is counted although
	// the lease has run out.
	RenewResurrects bool
	// ReadRenews: a worker that finds its session alive by reading counts its lease from
	// then on.
	ReadRenews bool
	// BeginBeforeClose: a worker that has lost its session begins the next one before
	// the clients of the lost one are closed, and the guard asks only for the time.
	BeginBeforeClose bool
	// StreamForgets: the inbound stream may lose the last message of a room, be it that
	// it is consumed or too old.
	StreamForgets bool
}

// margin is M, or nothing.
func (m *Model) margin() uint8 {
	if m.NoMargin {
		return 0
	}
	return m.M
}

// leased tells whether a worker with so much left of its lease may have clients open.
func (m *Model) leased(left uint8) bool { return !m.Clocks || left > m.margin() }

// guarded tells whether the guard lets it write.
func (m *Model) guarded(left uint8) bool { return !m.Clocks || left > m.margin()/2 }
