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
// it: NATS takes off the former message before it adds the new one. So the backlog asks the leader for the last
// revision. A key that is not reported then has a revision up to that one, behind those that are reported. If the
// watch reports all of these without a gap, or there are none, no key is missing. A gap is a revision that was
// replaced before it was reported, or that is of another key: the backlog asks again.
type backlog struct {
	w     *bucketWatch
	last  uint64    // the last revision at the beginning, or when the leader was last asked
	whole bool      // all revisions since then are reported
	since time.Time // when the leader was first asked; zero before
}

// reported is called at the beginning and after each entry. gap: the entry is not of the revision that follows the
// one before. It returns whether each key is reported.
func (b *backlog) reported(ctx context.Context, gap bool, pending uint64) (bool, error) {
	b.whole = b.whole && !gap
	first := b.since.IsZero()
	switch {
	case b.w.next <= b.last && (pending > 0 || !first):
		return false, nil
	case b.whole, !first && time.Since(b.since) > heartbeat:
		// A key that is still missing is replaced each time before NATS sends it: as after a heartbeat, the
		// watch does not wait for it.
		return true, nil
	case first:
		b.since = time.Now()
	}
	return b.ask(ctx)
}

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
