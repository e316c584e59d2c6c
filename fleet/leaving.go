package fleet

import (
	"context"
	"slices"
	"sync"
	"time"
)

// lasting is for how long a room that is given up by plan may publish what it has received. For half of that
// its client stays open, so that a room which receives more meanwhile is empty for a moment only.
const lasting = time.Second

// grace returns for how long rooms that are given up by plan now may publish what they have received. In the
// last third of the time for draining they are closed at once, see drainRate.
func (t *tenure) grace() time.Duration {
	switch {
	case t.s.left() < t.f.settled.Lease*3/4:
		return 0 // NATS has not answered for a while
	case t.draining:
		return min(lasting, time.Until(t.deadline)-t.w.cfg.drainTimeout/3)
	}
	return lasting
}

// seal closes rooms at the same time, after which none of them publishes anything. They publish what they
// have received before, for no longer than grace. It reports whether the outcome of a publication is not known:
// it may be under way, and must not come after what the next holder publishes.
func seal(ctx context.Context, l *lane, held []*holding, grace time.Duration) (unsettled bool) {
	for began := time.Now(); slices.ContainsFunc(held, (*holding).behind) && time.Since(began) < grace/2; {
		pause(ctx, 5*time.Millisecond)
	}
	var closing sync.WaitGroup
	for _, h := range held {
		closing.Go(func() { h.close(grace / 2) })
	}
	closing.Wait()
	done, err := l.turn(ctx)
	if err != nil {
		return false // the lease is lost
	}
	defer done()
	for _, h := range held {
		h.sealed = true
	}
	return l.unsettled
}

// behind reports whether messages that the client has received wait to be published, and can be.
func (h *holding) behind() bool {
	c := h.client.Load()
	return c != nil && !h.inbound.failing.Load() && h.inbound.ctx.Err() == nil && c.Stats().Inbox > 0
}
