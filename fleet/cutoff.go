package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A cutOff finds out that the connected NATS server is cut off from the other ones: the
// connection is well, and nothing is answered for which a majority of the servers is needed.
// The NATS client by itself stays with such a server.
type cutOff struct {
	mu    sync.Mutex
	done  time.Time // when a request was last done
	since time.Time // from then on none was; zero: the latest one was
	left  time.Time // when a server was left
}

// reached takes the outcome of a request that only a majority of the servers can answer, and
// when it was begun. It returns err.
func (f *Fleet) reached(began time.Time, err error) error {
	c := &f.cutOff
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.done, c.since = time.Now(), time.Time{}
		return nil
	case !unanswered(err):
		return err // it says nothing: a leader that is cut off still refuses what it refused before
	case c.since.IsZero():
		c.since = later(began, c.done)
	}
	f.leave(c.since, f.settled.cutOffAfter())
	return err
}

// heard takes the moment of the latest sign that a consumer is reached. One of a group's
// consumers may be without a leader for longer than a request.
func (f *Fleet) heard(at time.Time) {
	f.cutOff.mu.Lock()
	defer f.cutOff.mu.Unlock()
	f.leave(at, 2*f.settled.cutOffAfter())
}

// leave goes to the next NATS server if this one has left everything without an answer for
// some time, and there is another one. cutOff.mu must be held.
func (f *Fleet) leave(silent time.Time, longest time.Duration) {
	c := &f.cutOff
	silent = later(silent, c.left) // before that it was another server
	if since(silent) < longest || !f.nc.IsConnected() || len(f.nc.Servers()) < 2 {
		return
	}
	c.left = time.Now()
	f.log.Warn("a NATS server that answers nothing is left for the next one", "server", f.nc.ConnectedAddr())
	_ = f.nc.ForceReconnect() // it fails on a closed connection
}

// Error codes of NATS that its client has no names for.
const (
	noPeers   jetstream.ErrorCode = 10005 // the servers of a cluster do not know each other yet
	noLeader  jetstream.ErrorCode = 10008 // JetStream is temporarily unavailable
	inProcess jetstream.ErrorCode = 10158 // a message with the same id is not stored yet, and may never be
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
