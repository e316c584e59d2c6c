package fleet

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/boundary"
)

// users calls the user's functions: a panic or a runtime.Goexit in one is a *wechatws.PanicError.
var users boundary.Caller = func(value any, stack []byte) error {
	return &wechatws.PanicError{Value: value, Stack: stack}
}

// Sentinel errors, for [errors.Is]. They may be wrapped with more detail.
var (
	// ErrNoFleet is returned by [Open] with [WithExisting] if there is no fleet of that name, or NATS has lost
	// one of its streams or buckets.
	ErrNoFleet = errors.New("fleet: no such fleet")
	// ErrNoRoom is returned for a room that has not been added, or was removed.
	ErrNoRoom = errors.New("fleet: no such room")
	// ErrRoomExists is returned by [Control.Add] for a room that has been added already.
	ErrRoomExists = errors.New("fleet: the room exists already")
	// ErrNoWorker is returned for a worker that has no lease.
	ErrNoWorker = errors.New("fleet: no such worker")
	// ErrLeaseLost is the cause when a client is closed, or may write nothing any more, because
	// its worker could not renew its lease in time.
	ErrLeaseLost = errors.New("fleet: the lease on the room has run out")
)

// notConnected is the error of a request while the connection to NATS is lost. The NATS client says that its buffer
// is full, and a fleet has none.
type notConnected struct{ error }

func (e notConnected) Error() string { return "NATS is not connected" }
func (e notConnected) Unwrap() error { return e.error }

// plain returns err, the error of a request, as a notConnected if it is one.
func plain(err error) error {
	var known notConnected
	if errors.Is(err, nats.ErrReconnectBufExceeded) && !errors.As(err, &known) {
		return notConnected{err}
	}
	return err
}
