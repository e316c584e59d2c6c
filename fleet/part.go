package fleet

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/decision"
)

const (
	// rereading is the interval at which the rooms of a shard are read again, for changes whose
	// notification was lost. The first time is soon after the shard was taken, with a sweep: notifications of
	// another server's leader may begin later than the reading of a replica.
	rereading, firstRereading = time.Minute, 2 * time.Second
	rereadAtOnce              = 64 // shards, each second
)

// A part is what a worker needs for a shard of which it holds rooms. NATS notifies it of changes of the
// rooms, and of messages to them, by republishing what it stores.
type part struct {
	stage  decision.Stage // Unready until the rooms are read
	sub    *nats.Subscription
	lane   *lane
	next   time.Time // when the rooms are read again
	missed uint64    // when the rooms were last read
	mail   bool      // there may be messages to rooms that are not held yet
}

// enter reads the rooms of a shard of which this worker has got some. If it has taken them from a session that
// has ended, it renews the marker before it holds them.
func (t *tenure) enter(s *shard) {
	if s.part == nil {
		s.part = &part{stage: decision.Unready, lane: newLane(t, s.n, s.claim.rev), next: time.Now().Add(firstRereading)}
		t.w.shards.Add(1)
		if t.sweepAt.IsZero() {
			t.sweepAt = s.part.next
		}
		sub, err := t.f.nc.ChanSubscribe(t.f.shardSubject(s.n)+".>", t.notices)
		if err == nil {
			s.part.sub, s.part.missed = sub, s.part.misses(t.f.nc.Stats())
		} // else rooms are read again, and the sweep finds messages
	}
	p, rev, force := s.part, s.claim.rev, s.force
	read := p.stage != decision.Unready
	t.begin(s, &s.busy, func() func() {
		var entries []*entry
		var at uint64
		for !read && at < rev && t.ctx.Err() == nil {
			var err error
			if entries, at, err = t.readRooms(rev, s.n); err != nil {
				t.f.log.Warn("a shard cannot be read", "shard", s.n, "err", err)
				pause(t.ctx, 200*time.Millisecond)
			}
		}
		mail := !read && t.hasMail(s.n)
		var err error
		if force {
			if err = p.lane.renew(t.ctx, rev); err != nil { // a leader that is cut off may know an older claim
				pause(t.ctx, 200*time.Millisecond)
			}
		}
		return func() {
			p.mail = p.mail || mail
			if err == nil {
				t.merge([]*shard{s}, entries, at)
				s.force = false
				if !read {
					p.stage = decision.Ready
					if s.claim.Session == t.s.id && !t.fits(s) {
						p.stage = decision.TooMany
					}
				}
			}
		}
	})
}

func (t *tenure) readRooms(least uint64, n int) (entries []*entry, at uint64, err error) {
	done, err := t.turn(t.ctx)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(t.ctx, 2*publishing)
	defer cancel()
	return t.f.readShard(ctx, least, n)
}

// hasMail reports whether there are messages to rooms of a shard, and true if NATS does not answer in time.
// Of later ones there are notifications.
func (t *tenure) hasMail(n int) bool {
	done, err := t.turn(t.ctx)
	if err != nil {
		return true
	}
	defer done()
	ctx, cancel := context.WithTimeout(t.ctx, publishing)
	defer cancel()
	_, err = t.f.nextMessage(ctx, t.f.name+"-out", t.f.name+".out."+strconv.Itoa(n)+".*", 1)
	return !errors.Is(err, jetstream.ErrMsgNotFound)
}

// exit forgets the rooms of a shard of which this worker holds none any more.
func (t *tenure) exit(s *shard) {
	if s.part.sub != nil {
		_ = s.part.sub.Unsubscribe()
	}
	s.part, s.force, s.rooms = nil, false, map[string]*listing{}
	t.w.shards.Add(-1)
}

// merge adds the rooms of some shards, all of them as they were at a revision.
func (t *tenure) merge(shards []*shard, entries []*entry, at uint64) {
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		if !e.gone {
			there[e.key] = true
		}
		if s, token := t.room(e.key); s != nil && s.part != nil {
			s.see(token, e)
		}
	}
	for _, s := range shards {
		for token, l := range s.rooms {
			if there[roomKey(s.n, token)] || l.rev > at {
				continue
			}
			// Only here a room is forgotten: a reading that is older than a removal must not bring the
			// room back.
			if l.record = nil; l.held == nil {
				delete(s.rooms, token)
			}
		}
		t.touch(s)
	}
	t.readAt = max(t.readAt, at)
}

// misses returns a number that grows when notifications may have been lost.
func (p *part) misses(conn nats.Statistics) uint64 {
	if p.sub == nil {
		return 0
	}
	dropped, _ := p.sub.Dropped()
	return conn.Reconnects + uint64(dropped)
}

// reread reads the rooms of those shards again of which it is time.
func (t *tenure) reread() {
	if t.rereading {
		return
	}
	now, conn := time.Now(), t.f.nc.Stats()
	var due []*shard
	var keys []string
	for _, s := range t.shards {
		if p := s.part; p != nil && p.stage != decision.Unready && len(due) < rereadAtOnce && (now.After(p.next) || p.missed != p.misses(conn)) {
			p.next, p.missed = now.Add(rereading), p.misses(conn)
			due, keys = append(due, s), append(keys, roomKey(s.n, "*"))
		}
	}
	if len(due) == 0 {
		return
	}
	t.rereading = true
	least := t.readAt
	t.working.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, 2*publishing)
		entries, at, err := t.f.read(ctx, least, keys...)
		cancel()
		if errors.Is(err, errTooMany) {
			for _, s := range due {
				if entries, at, err := t.readRooms(least, s.n); err == nil && at >= least {
					t.post(func() { t.merge([]*shard{s}, entries, at) })
				}
			}
		}
		t.post(func() {
			if t.rereading = false; err == nil && at >= least {
				t.merge(due, entries, at)
			}
		})
	})
}

// notice handles a notification: <fleet>.shard.<n>.room.<room>, or .out.<room>. An answer of NATS with the
// record of another room is none.
func (t *tenure) notice(m *nats.Msg) {
	rest := m.Subject[len(t.f.shardSubject(0))-1:]
	number, rest, _ := strings.Cut(rest, ".")
	kind, token, _ := strings.Cut(rest, ".")
	s := t.shard(number)
	if kind == "out" {
		if h, ok := t.w.held.Load(token); ok {
			h.(*holding).mailbox.wake()
		} else if s != nil && s.part != nil {
			s.part.mail = true
		}
		return
	}
	rev, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil || s == nil || s.part == nil || m.Header.Get(jetstream.SubjectHeader) != "$KV."+t.f.rooms.Bucket()+"."+roomKey(s.n, token) {
		return
	}
	if s.see(token, &entry{value: m.Data, rev: rev, gone: isMarker(m.Header)}) {
		t.touch(s)
	}
}
