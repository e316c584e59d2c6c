package fleet

import "errors"

// Sentinel errors, for errors.Is. They may come wrapped with more detail.
var (
	// ErrNoFleet is returned by Open with Config.Existing when there is none.
	ErrNoFleet = errors.New("fleet: no such fleet")
	// ErrNoRoom is returned for a room that has not been added, or was removed.
	ErrNoRoom = errors.New("fleet: no such room")
	// ErrRoomExists is returned by Add for a room that is there already.
	ErrRoomExists = errors.New("fleet: the room is there already")
	// ErrNoWorker is returned for a worker that is not there.
	ErrNoWorker = errors.New("fleet: no such worker")
	// ErrLeaseLost is why a client is closed, or may write nothing any more, when its
	// worker could not renew its lease in time.
	ErrLeaseLost = errors.New("fleet: the lease on the room has run out")
)
