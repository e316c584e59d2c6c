// Package decision has the conditions on which a worker takes, enters, holds, passes on and closes a shard and
// its rooms, as functions of what it knows. The workers of the fleet act by them, and package leasemodel
// explores what comes of them in each state of its model.
package decision

// A Claim is what is known of the claim of a shard.
type Claim uint8

const (
	None    Claim = iota // there is none, and no room
	Valid                // it is known
	Garbled              // its value is no claim; the one before it is known
	Blind                // its value is no claim, and no other one is known
)

// A Life is what is known of sessions.
type Life uint8

const (
	Lives   Life = iota // each of them has a key
	Unknown             // no watch has shown a key of one of them, which proves nothing
	Ended               // one of them has ended for certain
)

// A Stage is how far a worker is with a shard of which it holds rooms.
type Stage uint8

const (
	Outside Stage = iota // it holds none
	Unready              // the rooms are not read, or it must publish a marker before anything else
	TooMany              // the shard has more rooms than the worker may hold
	Ready                // they are read, and it may publish
)

// A Shard is what a worker knows of a shard.
type Shard struct {
	Claim  Claim
	Mine   bool // by the claim, it holds the shard
	Names  bool // by the claim, it holds the shard, or rooms of it
	Others Life // of the holder; if the worker holds the shard, of those that hold rooms of it
	Wanted bool // the worker should hold it
	Stage  Stage
}

// An Action is what a worker does next with a shard or a room.
type Action uint8

const (
	Nothing Action = iota
	Wait           // until a holder of the shard, if there is one, has replaced the value that is no claim
	Take           // write a claim of the shard
	Exit           // close its rooms, and forget the shard
	Enter          // read the rooms, and publish a marker if one is needed
	Refuse         // pass the shard on
	Rooms          // do what is next with each room
	Hold           // the room
	Close          // the room
)

// Next returns what is next with a shard, of which no work is under way.
func (s Shard) Next() Action {
	switch {
	case s.Claim == Blind && s.Wanted:
		return Wait
	case s.Claim == Blind:
		return Nothing
	case s.Mine && s.Claim == Garbled, (s.Mine || s.Wanted && s.Claim != None) && s.Others == Ended:
		return Take
	case !s.Names && s.Stage == Outside:
		return Nothing
	case !s.Names:
		return Exit
	case s.Stage < TooMany:
		return Enter
	case s.Stage == TooMany && s.Mine:
		return Refuse
	}
	return Rooms
}

// Asks reports whether the worker must read whether the others have ended.
func (s Shard) Asks() bool { return (s.Mine || s.Wanted) && s.Claim != Blind && s.Others == Unknown }

// A Room is what a worker knows of a room of a shard.
type Room struct {
	Mine    bool // by the claim, it holds the room
	Apart   bool // the claim names the room
	Exists  bool // it has not been removed
	Here    bool // the worker should hold it
	Held    bool // the worker holds it,
	Current bool // with the spec that it has now
	Drains  bool // the worker takes no rooms any more
}

// Next returns what is next with a room of a shard in stage Ready, of which no work is under way.
func (r Room) Next() Action {
	switch {
	case r.Held && !(r.Mine && r.Exists && r.Current):
		return Close
	case !r.Held && r.Mine && r.Exists && r.Here && !r.Drains:
		return Hold
	}
	return Nothing
}

// Passes reports whether the worker must close a room of a shard in stage Ready, and write a claim that does
// not name it as the holder.
func (r Room) Passes() bool { return r.Mine && (r.Exists && !r.Here || !r.Exists && r.Apart) }

// Marks reports whether a worker must publish another marker before it holds rooms of a shard, or passes them
// on: if it has taken the shard, the former holder may have sent messages that come late, and so may the worker
// itself if the outcome of a publication is not known.
func Marks(taken, unsettled bool) bool { return taken || unsettled }

// Settled reports whether the outcome of a write of a claim is known, from the revision that the write expects
// and the one that the claim was then read with. With the same revision, the write may still be in process.
func Settled(expected, read uint64) bool { return read != expected }
