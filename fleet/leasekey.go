package fleet

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A leaseKey is a session's key in one of the buckets of leases. It is renewed by compare-and-set.
type leaseKey struct {
	f       *Fleet
	bucket  int // of Fleet.leases
	session string
	rev     uint64 // of the key, as we know it
	clock   leaseClock
	busy    bool // it is being renewed
}

func newLeaseKey(f *Fleet, bucket int, session string) *leaseKey {
	k := &leaseKey{f: f, bucket: bucket, session: session}
	k.clock.length = f.settled.Lease - f.settled.margin()/2
	return k
}

// renew writes the key with a new time to live. A write whose answer did not come may have
// been done or not: who wrote last is read then. Each of these requests has its own time: if
// all of them had to be done in that of one, a NATS that answers slowly would be lost for good
// once an answer was late.
//
// A key whose time has run out, while the session lived by another one, is written again. One that
// is not there although it has time left means that NATS has not kept what it
// promised: errSessionGone.
func (k *leaseKey) renew(ctx context.Context, value []byte) error {
	err := k.put(ctx, value)
	if !isWrongRevision(err) {
		return err
	}
	reading, cancel := context.WithTimeout(ctx, k.f.settled.patience())
	defer cancel()
	rev, live, err := k.f.readLease(reading, k.bucket, k.session)
	if err != nil {
		return err
	}
	if !live && k.clock.left() > 0 {
		return errSessionGone
	}
	k.rev = rev
	return k.put(ctx, value)
}

// put writes the key, if it is as we know it.
func (k *leaseKey) put(ctx context.Context, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, k.f.settled.patience())
	defer cancel()
	rev, err := k.f.putKey(ctx, k.f.leases[k.bucket], k.session, value, k.rev, k.f.settled.Lease)
	if err == nil {
		k.rev = rev
	}
	return err
}

// forget deletes the key, if it is there.
func (k *leaseKey) forget(ctx context.Context) error {
	rev, live, err := k.f.readLease(ctx, k.bucket, k.session)
	if !live || err != nil {
		return err
	}
	return k.f.forget(ctx, k.f.leases[k.bucket], k.session, rev)
}

// readLease reads a session's key from the leader of one of the buckets: its revision, also that of
// the marker of its end, and whether it is there.
func (f *Fleet) readLease(ctx context.Context, bucket int, session string) (rev uint64, live bool, err error) {
	m, err := f.lastInBucket(ctx, f.leases[bucket], session)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return m.Seq, len(m.Data) > 0, nil
}

// A leaseClock tells how long a key is good for.
type leaseClock struct {
	length time.Duration
	began  atomic.Pointer[time.Time] // nil: it is not
}

// renewed counts from when the renewal was sent, which is before the server has
// seen it.
func (c *leaseClock) renewed(sent time.Time) { c.began.Store(&sent) }

func (c *leaseClock) left() time.Duration {
	began := c.began.Load()
	if began == nil {
		return 0
	}
	return c.length - since(*began)
}

// since is the time that has passed. Both clocks count, whichever has gone
// further: the monotonic one stands still while a machine is suspended, and the wall clock can
// be set back.
func since(began time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(began), now.Round(0).Sub(began.Round(0)))
}

// putKey writes a key of a bucket by compare-and-set on its revision, which is 0 for one
// that has never been; with a time to live, unless that is 0.
func (f *Fleet) putKey(ctx context.Context, kv jetstream.KeyValue, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	m := nats.NewMsg("$KV." + kv.Bucket() + "." + key)
	m.Data = value
	options := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(rev)}
	if ttl > 0 {
		options = append(options, jetstream.WithMsgTTL(ttl))
	}
	began := time.Now()
	ack, err := f.js.PublishMsg(ctx, m, options...)
	if f.reached(began, err) != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// tombstone is how long it is remembered that a key was deleted, for watchers that are late.
// Rooms and sessions come and go, and what is left of each must not stay for ever.
const tombstone = time.Hour

// forget deletes a key.
func (f *Fleet) forget(ctx context.Context, kv jetstream.KeyValue, key string, rev uint64) error {
	return kv.Purge(ctx, key, jetstream.LastRevision(rev), jetstream.PurgeTTL(tombstone))
}

func isWrongRevision(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
