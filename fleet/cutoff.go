package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A cutOff detects that the connected NATS server is cut off from the other ones: the connection works,
// but the server answers no request for which a majority of the servers is needed. The NATS client by
// itself stays with such a server.
type cutOff struct {
	mu    sync.Mutex
	done  time.Time // when a request last succeeded
	since time.Time // since when none has succeeded; zero if the latest one has
	left  time.Time // when a server was last left
}

// reached records the outcome of a request that only a majority of the servers can answer, and that
// began at that time. It returns err.
func (f *Fleet) reached(began time.Time, err error) error {
	c := &f.cutOff
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.done, c.since = time.Now(), time.Time{}
		return nil
	case !unanswered(err), errors.Is(err, context.DeadlineExceeded) && since(began) < impatient:
		// No evidence: a leader that is cut off still refuses what it refused before, and a caller may be
		// more impatient than any server is fast.
		return err
	case c.since.IsZero():
		c.since = later(began, c.done)
	}
	f.leave(c.since, f.settled.cutOffAfter())
	return err
}

// reachedStream is reached for a publication to a stream that may have been lost: when it does not exist,
// no server answers.
func (f *Fleet) reachedStream(ctx context.Context, stream string, began time.Time, err error) error {
	if errors.Is(err, jetstream.ErrNoStreamResponse) && f.lacks(ctx, stream) {
		return err
	}
	return f.reached(began, err)
}

// lacks reports whether NATS answers that a stream of the fleet does not exist. A server that is cut off does not
// answer that.
func (f *Fleet) lacks(ctx context.Context, stream string) bool {
	ctx, cancel := context.WithTimeout(ctx, f.settled.patience())
	defer cancel()
	_, err := f.js.Stream(ctx, f.name+stream)
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

// leave connects to the next NATS server if this one has answered nothing since silent, that is longest
// ago, and there is another one. cutOff.mu must be held.
func (f *Fleet) leave(silent time.Time, longest time.Duration) {
	c := &f.cutOff
	silent = later(silent, c.left) // the time before that is another server's
	if since(silent) < longest || !f.nc.IsConnected() || len(f.nc.Servers()) < 2 {
		return
	}
	c.left = time.Now()
	f.log.Warn("a NATS server that answers nothing is left for the next one", "server", f.nc.ConnectedAddr())
	_ = f.nc.ForceReconnect() // fails only on a closed connection
}

// impatient is a timeout that only callers of the fleet have, and no request of its own.
const impatient = 200 * time.Millisecond

// Error codes of NATS for which its client has no names.
const (
	noPeers    jetstream.ErrorCode = 10005 // the servers of a cluster do not know each other yet
	noLeader   jetstream.ErrorCode = 10008 // JetStream is temporarily unavailable
	fullStream jetstream.ErrorCode = 10077 // it has as many bytes as it may have
	inProcess  jetstream.ErrorCode = 10158 // a message with the same id is not stored yet, and may never be
)

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// unanswered reports whether a request was left without an answer, by a server that may be
// cut off.
func unanswered(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode == noLeader || api.ErrorCode == inProcess
	}
	for _, e := range []error{context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
