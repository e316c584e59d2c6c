package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What groups of handlers need in NATS is made by the first of them, so that it takes no space in a fleet
// without handlers.
const (
	maxGroups = 16 << 20
	maxDead   = 64 << 20
	keepDead  = 7 * 24 * time.Hour
)

// makeGroups returns the bucket of groups, which it makes if it does not exist.
func (f *Fleet) makeGroups(ctx context.Context) (jetstream.KeyValue, error) {
	return f.creating().bucket(ctx, jetstream.KeyValueConfig{Bucket: "groups", Description: "positions and processes of groups of handlers"}, maxGroups)
}

// makeDead makes the stream of dead letters if it does not exist.
func (f *Fleet) makeDead(ctx context.Context) error {
	_, err := f.creating().stream(ctx, jetstream.StreamConfig{
		Name:        f.name + "-dead",
		Description: "messages that were given up: from rooms dead.<group>, to rooms dead.to.<room>",
		Subjects:    []string{f.name + ".dead.>"},
		MaxAge:      keepDead,
	}, bound{standard: f.standard(maxDead), discard: jetstream.DiscardOld})
	return err
}

// creating returns a Fleet that creates what does not exist, with WithExisting as well.
func (f *Fleet) creating() *Fleet {
	cfg := *f.cfg
	cfg.existing = false
	return &Fleet{name: f.name, cfg: &cfg, settled: f.settled, embedded: f.embedded, nc: f.nc, js: f.js, rooms: f.rooms, log: f.log}
}

// makeAgain makes what NATS has lost of the fleet, as it was.
func (f *Fleet) makeAgain(ctx context.Context) (*Fleet, error) {
	c := f.creating()
	c.cfg.lease, c.cfg.partitions, c.cfg.keepIn = f.settled.Lease, f.settled.Partitions, f.settled.KeepIn
	c.cfg.replicas, c.cfg.shards = f.settled.LeasedBy, f.settled.Shards
	return c, c.make(ctx)
}

// madeIn returns when the stream of messages from rooms was made. If NATS has lost it, madeIn makes it again,
// with all else that the fleet needs, if it has the permissions. What is in the settings of the fleet is made as it
// was.
func (h *Handlers) madeIn(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	began := time.Now()
	s, err := h.f.js.Stream(ctx, h.f.name+"-in")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		h.fail(fmt.Errorf("fleet: group %q: the stream of messages from rooms does not exist, and is made again", h.group))
		var c *Fleet
		if c, err = h.f.makeAgain(ctx); err == nil {
			s = c.in
		}
	}
	if err != nil {
		return time.Time{}, h.f.reached(began, err)
	} // else it is no evidence: a leader that is cut off answers as well
	return s.CachedInfo().Created, nil
}

// partitionSubject returns the subject of all messages of a partition.
func (f *Fleet) partitionSubject(partition int) string {
	return f.name + ".in." + strconv.Itoa(partition) + ".>"
}
