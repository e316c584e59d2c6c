package fleet

import (
	"cmp"
	"context"
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

	// The buckets grow with the number of rooms and workers, and not with messages. A spec takes more
	// space than a claim, so that Add fails before an added room cannot be claimed.
	maxRooms  = 256 << 20
	maxClaims = 512 << 20
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
	const twice = 2 * (defaultMaxIn + defaultMaxOut + maxRooms + maxClaims + maxLeases + maxGroups + maxDead)
	return int64(float64(size) * min(1, float64(store)/twice))
}

// A bound is the maximum size of a stream, and which message is discarded beyond it.
type bound struct {
	option   string // of Open, or empty
	asked    int64  // the value of the option, or 0
	standard int64  // the size without the option
	discard  jetstream.DiscardPolicy
}

func (b bound) bytes() int64 { return cmp.Or(b.asked, b.standard) }

// apply sets the bound of a stream that an earlier version made without one. If the option is not given,
// the bound is large enough for the stream to keep its messages, and if NATS has no space for that, the
// stream stays without a bound. An existing bound stays; it is an error if the option has another size.
func (b bound) apply(ctx context.Context, f *Fleet, s jetstream.Stream) (jetstream.Stream, error) {
	info := s.CachedInfo()
	cfg := info.Config
	bounded := cfg.MaxBytes > 0
	if bounded {
		if err := mustBe(b.option, b.asked, cfg.MaxBytes); err != nil {
			return nil, err
		}
	} else if cfg.MaxBytes = b.asked; b.asked == 0 {
		cfg.MaxBytes = b.standard + int64(info.State.Bytes)
	}
	switch {
	case bounded && cfg.Discard == b.discard:
		return s, nil
	case f.cfg.existing: // this process may not be permitted to write
		f.log.Warn("a stream can fill the store of NATS: Open without WithExisting gives it a maximum size", "stream", cfg.Name)
		return s, nil
	}
	if b.option != "" && !bounded { // another process may have another value of the option
		done, err := f.alone(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		if s, err = f.js.Stream(ctx, cfg.Name); err != nil {
			return nil, err
		}
		if is := s.CachedInfo().Config.MaxBytes; is > 0 {
			return s, mustBe(b.option, b.asked, is)
		}
	}
	cfg.Discard = b.discard
	updated, err := f.js.UpdateStream(ctx, cfg)
	switch {
	case noRoom(err) != nil && b.asked == 0: // the fleet has worked without a bound
		f.log.Warn("a stream can fill the store of NATS, which has no room to reserve a maximum size", "stream", cfg.Name, "bytes", cfg.MaxBytes, "err", err)
		return s, nil
	case err != nil:
		return nil, b.refused("stream "+cfg.Name, cfg.MaxBytes, fmt.Errorf("stream %s cannot be given a maximum size: %w", cfg.Name, err))
	}
	f.log.Info("a stream has a maximum size now", "stream", cfg.Name, "bytes", cfg.MaxBytes)
	return updated, nil
}

var errBusy = errors.New("another process gives the streams their maximum sizes")

// alone prevents other processes from giving streams their maximum sizes until done is called: NATS has
// no compare-and-set for that. It returns errBusy while another process does it.
func (f *Fleet) alone(ctx context.Context) (done func(), err error) {
	rev, err := f.rooms.Create(ctx, boundingKey, nil, jetstream.KeyTTL(10*time.Second)) // if this process is lost meanwhile
	if errors.Is(err, jetstream.ErrKeyExists) {
		return nil, errBusy
	}
	return func() { _ = f.forget(context.WithoutCancel(ctx), f.rooms, boundingKey, rev) }, err
}

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
func (b bound) refused(stream string, bytes int64, err error) error {
	api := noRoom(err)
	if api == nil {
		return err
	}
	if b.option == "" {
		return fmt.Errorf("fleet: NATS cannot reserve %d bytes for %s: %s; it must have more file storage", bytes, stream, api.Description)
	}
	return wrong(b.option, bytes, fmt.Sprintf("must be smaller, or NATS must have more file storage: it cannot reserve that for %s: %s", stream, api.Description))
}
