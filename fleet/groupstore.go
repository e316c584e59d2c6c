package fleet

import (
	"context"
	"errors"
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
	return f.creating().bucket(ctx, "groups", "positions and processes of groups of handlers", maxGroups)
}

// makeDead makes the stream of dead letters if it does not exist.
func (f *Fleet) makeDead(ctx context.Context) error {
	_, err := f.creating().stream(ctx, jetstream.StreamConfig{
		Name:        f.name + "-dead",
		Description: "messages from rooms that were given up: dead.<group>",
		Subjects:    []string{f.name + ".dead.>"},
		MaxAge:      keepDead,
	}, bound{standard: f.standard(maxDead), discard: jetstream.DiscardOld})
	return err
}

// creating returns a Fleet that creates what does not exist, with WithExisting as well.
func (f *Fleet) creating() *Fleet {
	c := &Fleet{name: f.name, cfg: f.cfg, settled: f.settled, embedded: f.embedded, nc: f.nc, js: f.js, rooms: f.rooms, log: f.log}
	c.cfg.existing = false
	return c
}

// remake makes the streams and buckets of the fleet that NATS has lost, with the settings of this process.
func (f *Fleet) remake(ctx context.Context) error {
	c := f.creating()
	c.cfg.lease, c.cfg.partitions, c.cfg.keepIn = f.settled.Lease, f.settled.Partitions, f.settled.KeepIn
	c.cfg.replicas = f.settled.LeasedBy
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := c.make(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return jetstream.ErrNoStreamResponse
	}
	return err
}

// madeIn returns when the stream of messages from rooms was made.
func (f *Fleet) madeIn(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	began := time.Now()
	s, err := f.js.Stream(ctx, f.name+"-in")
	if f.reached(began, err) != nil {
		return time.Time{}, err
	}
	return s.CachedInfo().Created, nil
}

// partitionSubject returns the subject of all messages of a partition.
func (f *Fleet) partitionSubject(partition int) string {
	return f.name + ".in." + strconv.Itoa(partition) + ".>"
}
