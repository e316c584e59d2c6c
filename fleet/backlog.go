package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A backlog finds out when a watch has reported each key that its bucket has.
//
// A key that is replaced meanwhile moves to the end, and the number of messages that are pending does not show
// it: NATS removes the former message before it counts the new one. So the backlog asks the leader for the last
// revision. Keys that are not reported then have revisions between those that are and the last one. When the watch
// has reported all of these without a gap, no key is missing. A gap is a revision that was replaced before it was
// reported, or that is of a key that is not watched: the backlog asks again.
type backlog struct {
	w     *bucketWatch
	last  uint64    // the last revision of the bucket at the beginning; then, of its keys when the leader was asked
	whole bool      // there was no gap since then
	since time.Time // when the leader was first asked; zero before
}

// reported is called at the beginning and after each entry, and reports whether no key is missing. If gap is true,
// the entry does not follow the one before it.
func (b *backlog) reported(ctx context.Context, gap bool, pending uint64) (bool, error) {
	b.whole = b.whole && !gap
	first := b.since.IsZero()
	switch {
	case b.w.next <= b.last && (pending > 0 || !first):
		return false, nil
	case b.whole, !first && time.Since(b.since) > heartbeat:
		// In this time NATS has not sent a key that is still missing: each time it was replaced before. As after a
		// heartbeat, the watch does not wait for it.
		return true, nil
	case first:
		b.since = time.Now()
	}
	return b.ask(ctx)
}

// ask asks the leader for the last revision of the keys, and reports whether it is reported.
func (b *backlog) ask(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	b.last, b.whole = 0, true
	for _, key := range b.w.keys {
		m, err := b.w.f.lastInBucket(ctx, b.w.kv, key)
		switch {
		case err == nil:
			b.last = max(b.last, m.Seq)
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return false, err
		}
	}
	return b.last < max(b.w.next, 1), nil
}
