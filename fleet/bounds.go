package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// When its store is full NATS refuses every write, renewals of leases included, whichever stream has
// filled it. So every stream and bucket of a fleet has a maximum size. NATS reserves that much when it
// makes the stream, and refuses to make a stream for which it has no space: a stream that is full takes
// no space from the others.
const (
	defaultMaxIn  = 1 << 30
	defaultMaxOut = 256 << 20

	// The buckets grow with the number of rooms and workers, and not with messages. Add leaves a sixteenth
	// of the bucket of rooms for claims, which take some 200 bytes for each shard.
	maxRooms  = 512 << 20
	maxLeases = 16 << 20 // each bucket

	// leastMax is the size of two of the largest messages that the embedded server accepts.
	leastMax = 16 << 20
)

// standard returns size, one of those above, or less on the small disk of an embedded server, which must
// work without any setup.
func (f *Fleet) standard(size int64) int64 {
	if f.embedded == nil {
		return size
	}
	js := f.embedded.JetStreamConfig()
	if js == nil { // JetStream could not be started
		return size
	}
	return standardIn(js.MaxStore, size)
}

// standardIn returns size, or in a small store so much less that a fleet reserves half of the store.
func standardIn(store, size int64) int64 {
	const twice = 2 * (defaultMaxIn + defaultMaxOut + maxRooms + maxLeases + maxGroups + maxDead)
	return int64(float64(size) * min(1, float64(store)/twice))
}

// A bound is the maximum size of a stream, and which message is discarded beyond it; and the option for the
// maximum age, which is in the configuration of the stream.
type bound struct {
	option   string // of Open, or empty
	asked    int64  // the value of the option, or 0
	standard int64  // the size without the option
	discard  jetstream.DiscardPolicy

	ageOption string
	askedAge  time.Duration // the value of the option, or 0
}

func (b bound) bytes() int64 { return cmp.Or(b.asked, b.standard) }

// noRoom returns the error of NATS if it means that there is no space for a stream, or nil if err is
// another error.
func noRoom(err error) *jetstream.APIError {
	const storageExceeded, streamExceeded = 10047, 10122
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == storageExceeded || api.ErrorCode == streamExceeded ||
		api.ErrorCode == noPeers && strings.Contains(api.Description, "insufficient storage")) {
		return api
	}
	return nil
}

// refused returns err, or, if err means that NATS has no space for the stream, an error that says what to
// change.
func (b bound) refused(stream string, err error) error {
	api, bytes := noRoom(err), b.bytes()
	if api == nil {
		return err
	}
	if b.option == "" {
		return fmt.Errorf("fleet: NATS cannot reserve %d bytes for %s: %s; it must have more file storage", bytes, stream, api.Description)
	}
	return wrong(b.option, bytes, fmt.Sprintf("must be smaller, or NATS must have more file storage: it cannot reserve that for %s: %s", stream, api.Description))
}
