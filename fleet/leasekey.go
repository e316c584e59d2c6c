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
	rev     uint64 // of the key, as this process knows it
	clock   leaseClock
	busy    bool      // it is being renewed
	late    bool      // the last renewal has failed
	lost    time.Time // when it turned out that NATS has lost it; zero once it may be written again
}

func newLeaseKey(f *Fleet, bucket int, session string) *leaseKey {
	k := &leaseKey{f: f, bucket: bucket, session: session}
	k.clock.length = f.settled.Lease - f.settled.margin()/2
	return k
}

// renew writes the key with a new time to live. A write whose answer was lost may or may not have been
// done: renew reads the revision then. Each of these requests has a timeout of its own. With one timeout
// for all, no renewal would succeed any more after one late answer of a slow NATS.
//
// A key that has run out while the session lived by another one is written again. If a key does not
// exist although it has time left, NATS has lost it: the error is errKeyLost.
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
	k.rev = rev
	if !live && k.clock.left() > 0 {
		return errKeyLost
	}
	return k.put(ctx, value)
}

// put writes the key if its revision is k.rev.
func (k *leaseKey) put(ctx context.Context, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, k.f.settled.patience())
	defer cancel()
	rev, err := k.f.putKey(ctx, k.f.leases[k.bucket], k.session, value, k.rev, k.f.settled.Lease)
	if err == nil {
		k.rev = rev
	}
	return err
}

// forget deletes the key if it exists.
func (k *leaseKey) forget(ctx context.Context) error {
	rev, live, err := k.f.readLease(ctx, k.bucket, k.session)
	if !live || err != nil {
		return err
	}
	_, err = k.f.putKey(ctx, k.f.leases[k.bucket], k.session, nil, rev, 0)
	return err
}

// readLease reads a session's key from the leader of one of the buckets. It returns its revision, or
// that of the marker of its end, and reports whether the key exists.
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

// A leaseClock measures for how much longer a key is valid.
type leaseClock struct {
	length time.Duration
	began  atomic.Pointer[time.Time] // nil before the first renewal
}

// renewed restarts the clock at the time when the renewal was sent, which is before the server received
// it.
func (c *leaseClock) renewed(sent time.Time) { c.began.Store(&sent) }

// stopped makes the key count no more.
func (c *leaseClock) stopped() { c.began.Store(nil) }

func (c *leaseClock) left() time.Duration {
	began := c.began.Load()
	if began == nil {
		return 0
	}
	return c.length - since(*began)
}

// since returns the time that has passed, by the monotonic clock or by the wall clock, whichever has
// advanced more: the first stands still while a machine is suspended, and the second can be set back.
func since(began time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(began), now.Round(0).Sub(began.Round(0)))
}

// putKey writes a key of a bucket by compare-and-set on its revision, which is 0 for a key that has never
// existed. Without a value it deletes the key. The key has a time to live unless ttl is 0. While another write of the
// key is in process, which may be one whose answer was lost, putKey waits for its outcome, until ctx ends.
func (f *Fleet) putKey(ctx context.Context, kv jetstream.KeyValue, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	m := nats.NewMsg(f.keySubject(kv, key))
	m.Data = value
	if len(value) == 0 {
		m.Header.Set("KV-Operation", "PURGE")
		m.Header.Set("Nats-Rollup", "sub")
		ttl = tombstone
	}
	options := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(rev)}
	if ttl > 0 {
		options = append(options, jetstream.WithMsgTTL(ttl))
	}
	began := time.Now() // also for repeated attempts: on a server that is cut off, the other write never ends
	for {
		ack, err := f.js.PublishMsg(ctx, m, options...)
		switch {
		case isInProcess(err):
			pause(ctx, inProcessFor)
		case f.reached(began, err) != nil:
			return 0, err
		default:
			return ack.Sequence, nil
		}
	}
}

// tombstone is how long the marker of a deleted key is kept, for watchers that are late. Markers of
// rooms and sessions must not accumulate.
const tombstone = time.Hour

func isWrongRevision(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
