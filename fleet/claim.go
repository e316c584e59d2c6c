package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// take claims a room.
func (t *tenure) take(p *place) {
	rev := p.claim.rev
	c := claim{Session: t.s.id, Worker: t.w.cfg.name, Since: time.Now().UTC()}
	t.begin(p, func() func() {
		done, err := t.turn(t.ctx)
		if err != nil {
			return func() {}
		}
		defer done()
		fence, err := t.putClaim(p.token, c, rev)
		if c.rev, c.kept = fence, true; isWrongRevision(err) {
			c, err = t.findClaim(p.token)
		}
		if err != nil {
			pause(t.ctx, 500*time.Millisecond)
			return func() {}
		}
		return func() {
			if c.rev >= p.claim.rev || c.rev == 0 {
				p.claim = c
			}
		}
	})
}

// findClaim reads a claim that the watcher has not reported yet, or whose end it reported before the
// room was added again.
func (t *tenure) findClaim(token string) (c claim, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.f.settled.patience())
	defer cancel()
	m, err := t.f.lastInBucket(ctx, t.f.claims, token)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, err
	}
	if len(m.Data) > 0 {
		c = parseClaim(m.Data)
		c.kept = true
	}
	c.rev = m.Seq
	return c, nil
}

func (t *tenure) putClaim(token string, c claim, rev uint64) (uint64, error) {
	value, err := json.Marshal(c)
	if err != nil {
		return 0, err
	}
	if err := t.s.guard(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.f.settled.patience())
	defer cancel()
	return t.f.putKey(ctx, t.f.claims, token, value, rev, 0)
}

// giveUp frees a claim and returns its revision. It retries until the lease is lost, which ends the
// claim as well.
func (t *tenure) giveUp(token string, rev uint64) uint64 {
	for t.ctx.Err() == nil {
		freed, err := t.putClaim(token, claim{}, rev)
		switch {
		case err == nil:
			return freed
		case errors.Is(err, ErrLeaseLost):
			return 0
		}
		pause(t.ctx, 200*time.Millisecond)
		if isWrongRevision(err) { // it is free already, and the watcher reports it
			return 0
		}
	}
	return 0
}

// forget deletes the claim on a room that was removed, which no worker holds.
func (t *tenure) forget(p *place) {
	rev := p.claim.rev
	t.begin(p, func() func() {
		ctx, cancel := context.WithTimeout(t.ctx, t.f.settled.patience())
		defer cancel()
		if err := t.f.forget(ctx, t.f.claims, p.token, rev); err != nil {
			pause(t.ctx, 500*time.Millisecond) // the watcher may report the reason
			return func() {}
		}
		return func() {
			if p.claim.rev == rev {
				p.claim.kept = false
			}
		}
	})
}
