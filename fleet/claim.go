package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A claim says who holds the rooms of a shard. It is replaced by compare-and-set, so that its revision,
// the fence, grows with each change. It is made by the first Add of a room of the shard, and never deleted.
type claim struct {
	Shard int `json:"shard"` // which no other value of NATS has
	hold
	// Apart has the rooms that another session holds than the shard's, by token: those that have been
	// handed over when others of the shard have not, and those that were moved to a worker.
	Apart map[string]hold `json:"apart,omitempty"`

	rev     uint64 // 0: there is no claim yet, and no room
	garbled bool   // the value with this revision is no claim; the fields above are from the one before it
	blind   bool   // there was none before it
}

// A hold names the session that holds a room or a shard for as long as the session lives.
type hold struct {
	Session string    `json:"session,omitempty"` // empty: free
	Since   time.Time `json:"since,omitzero"`
}

// of returns the hold on a room of the shard.
func (c *claim) of(token string) hold {
	if h, ok := c.Apart[token]; ok {
		return h
	}
	return c.hold
}

// names reports whether a session holds the shard, or rooms of it.
func (c *claim) names(session string) bool {
	if c.Session == session {
		return true
	}
	for _, h := range c.Apart {
		if h.Session == session {
			return true
		}
	}
	return false
}

// next returns a copy that may be changed. Rooms of the session that gets the shard are not apart any
// more.
func (c *claim) next(h hold) claim {
	next := claim{Shard: c.Shard, hold: h, Apart: maps.Clone(c.Apart)}
	if next.Apart == nil {
		next.Apart = map[string]hold{}
	}
	maps.DeleteFunc(next.Apart, func(_ string, apart hold) bool { return apart.Session == h.Session })
	return next
}

// take claims a shard that no living session holds, or, if this worker holds it, the rooms in it that no
// living session holds.
func (t *tenure) take(s *shard) {
	h := hold{t.s.id, time.Now().UTC()}
	if s.claim.Session == t.s.id {
		h = s.claim.hold
	}
	next := s.claim.next(h)
	maps.DeleteFunc(next.Apart, func(_ string, apart hold) bool { return t.ended(apart.Session) })
	rev := s.claim.rev
	s.force = true // what the former holder has sent to the stream may still be under way
	t.begin(s, &s.busy, func() func() {
		c, _ := t.write(s.n, next, rev) // fails when the lease is lost
		return func() { s.learn(c) }
	})
}

// write replaces a claim, and returns what the claim is then, which may be another worker's. It retries
// until the outcome is known: a write whose answer was lost may still arrive, and only another one makes
// it fail. It returns an error when the lease is lost, which ends the claim as well.
func (t *tenure) write(n int, next claim, rev uint64) (claim, error) {
	value, err := json.Marshal(next)
	if err != nil {
		return claim{}, err
	}
	for {
		now, err := t.tryWrite(n, value, rev)
		switch {
		case err == nil:
			next.rev = now
			return next, nil
		case isWrongRevision(err):
			if c, err := t.readClaim(n); err == nil && c.rev != rev {
				return c, nil
			} // else the leader that was asked is behind the one that has refused
		case errors.Is(err, ErrLeaseLost):
			return claim{}, err
		}
		if pause(t.ctx, 200*time.Millisecond); t.ctx.Err() != nil {
			return claim{}, t.ctx.Err()
		}
	}
}

func (t *tenure) tryWrite(n int, value []byte, rev uint64) (uint64, error) {
	done, err := t.turn(t.ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	if err := t.s.guard(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.f.settled.patience())
	defer cancel()
	return t.f.putRoom(ctx, claimKey(n), value, rev)
}

// readClaim reads a claim from the leader.
func (t *tenure) readClaim(n int) (c claim, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.f.settled.patience())
	defer cancel()
	m, err := t.f.lastInBucket(ctx, t.f.rooms, claimKey(n))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return claim{Shard: n}, nil
	}
	if err != nil {
		return claim{}, err
	}
	return parseClaim(m.Data, n, m.Seq), nil
}

// learn replaces the claim by a later one, and reports whether c is later. A value that is no claim does not
// change the holders of rooms: the shard's holder replaces it.
func (s *shard) learn(c claim) (news bool) {
	if c.rev <= s.claim.rev {
		return false // known already, from the answer to a write
	}
	if c.garbled {
		c.hold, c.Apart, c.blind = s.claim.hold, s.claim.Apart, s.claim.rev == 0 || s.claim.blind
	}
	s.claim = c
	return true
}

// learn adds a claim to the view.
func (t *tenure) learn(c claim) {
	if s := t.shards[c.Shard]; s.learn(c) {
		t.touch(s)
	}
}

// wait makes a shard free after a lease, since it is not known who holds it: a holder that lives has
// replaced the value by then.
func (t *tenure) wait(s *shard) {
	t.begin(s, &s.busy, func() func() {
		pause(t.ctx, t.f.settled.Lease)
		return func() { s.claim.blind = false }
	})
}
