package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// A session is a worker's lease: a key with a time to live, which is renewed by
// compare-and-set. A session that has ended, once the server has let the key go, cannot come
// back, since then its compare-and-set fails; its name is never used again. One renewal
// renews the lease on every room that is claimed under the session.
type session struct {
	f   *Fleet
	id  string
	rev uint64 // of the key, as we know it

	clock leaseClock
	over  chan struct{} // closed when rooms must be closed

	mu   sync.Mutex
	told member
	news chan struct{} // told has changed

	renewals atomic.Int64
}

var errSessionGone = errors.New("fleet: the session has ended")

// newSession makes a session. It waits for NATS until ctx ends.
func (f *Fleet) newSession(ctx context.Context, told member) (*session, error) {
	s := &session{f: f, id: nuid.Next(), told: told, over: make(chan struct{}), news: make(chan struct{}, 1)}
	s.clock.length = f.settled.Lease - f.settled.margin()/2
	for {
		began := time.Now()
		err := s.renew(ctx)
		if err == nil {
			s.clock.renewed(began)
			return s, nil
		}
		if !passing(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("fleet: no lease: %w", err)
		}
		// It may be there all the same, and since when is not known: another one.
		s.id, s.rev = nuid.Next(), 0
		pause(ctx, 250*time.Millisecond)
	}
}

// keep renews the lease until ctx ends, and closes over when rooms must be closed: then
// there is half a margin left in which to say good-bye.
func (s *session) keep(ctx context.Context) {
	half := s.f.settled.margin() / 2
	last := time.NewTimer(s.clock.left() - half)
	defer last.Stop()
	// A renewal that NATS keeps waiting must not keep us from looking at the clock.
	results := make(chan error, 1)
	due := time.NewTimer(s.f.settled.renewal())
	defer due.Stop()
	trying, again := false, false
	var began time.Time
	renew := func() {
		if trying {
			again = true
			return
		}
		trying, began = true, time.Now()
		go func() { results <- s.renew(ctx) }()
	}
	defer func() {
		close(s.over) // first: rooms are to be closed
		if trying {
			<-results
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-last.C:
			left := s.clock.left() - half
			if left <= 0 {
				return
			}
			last.Reset(left)
		case <-due.C:
			renew()
		case <-s.news:
			renew()
		case err := <-results:
			trying = false
			next := s.f.settled.renewal()
			switch {
			case err == nil:
				s.clock.renewed(began)
			case errors.Is(err, errSessionGone):
				s.f.log.Error("the lease is lost", "session", s.id)
				return
			case ctx.Err() == nil:
				s.f.log.Warn("the lease could not be renewed", "session", s.id, "left", s.clock.left(), "err", err)
				next = 100 * time.Millisecond
			}
			if again {
				again, next = false, 0
			}
			due.Reset(next)
		}
	}
}

// renew writes the key with a new time to live. A write whose answer did not come may have
// been done or not: who wrote last is read then. Each of these requests has its own time: if
// all of them had to be done in that of one, a NATS that answers slowly would be lost for good
// once an answer was late.
func (s *session) renew(ctx context.Context) error {
	s.mu.Lock()
	value, err := json.Marshal(s.told)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = s.put(ctx, value)
	if !isWrongRevision(err) {
		return err
	}
	reading, cancel := context.WithTimeout(ctx, s.f.settled.patience())
	defer cancel()
	rev, err := s.f.sessionRevision(reading, s.id)
	if err != nil {
		return err
	}
	s.rev = rev
	return s.put(ctx, value)
}

// put writes the key, if it is as we know it.
func (s *session) put(ctx context.Context, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.f.settled.patience())
	defer cancel()
	rev, err := s.f.putLease(ctx, sessionPrefix+s.id, value, s.rev, s.f.settled.Lease)
	if err != nil {
		return err
	}
	s.rev = rev
	s.renewals.Add(1)
	return nil
}

// sessionRevision is the revision of a session's key as the leader has it, or
// errSessionGone.
func (f *Fleet) sessionRevision(ctx context.Context, session string) (uint64, error) {
	m, err := f.lastMessage(ctx, "KV_"+f.name+"-leases", f.leaseSubject(sessionPrefix+session))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, errSessionGone
	case err != nil:
		return 0, err
	case len(m.Data) == 0: // the marker of its end
		return 0, errSessionGone
	}
	return m.Seq, nil
}

// drain tells the others to take our rooms.
func (s *session) drain() { s.tell(func(m *member) { m.Draining = true }) }

// settle tells the others that we take rooms now.
func (s *session) settle() { s.tell(func(m *member) { m.Settling = false }) }

// tell changes what the others know of us, by a renewal at once.
func (s *session) tell(change func(*member)) {
	s.mu.Lock()
	change(&s.told)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// end ends the session, so that nobody has to wait for its time to run out. All clients must
// be closed.
func (s *session) end(ctx context.Context) error {
	key := sessionPrefix + s.id
	err := s.f.forget(ctx, s.f.leases, key, s.rev)
	if isWrongRevision(err) {
		if rev, err := s.f.sessionRevision(ctx, s.id); err == nil {
			return s.f.forget(ctx, s.f.leases, key, rev)
		}
		return nil
	}
	return err
}

// guard is asked before anything is said in the name of a room.
func (s *session) guard() error {
	if s.clock.left() <= 0 {
		return ErrLeaseLost
	}
	return nil
}

// A leaseClock tells how long a lease is good for. Both clocks count, whichever has gone
// further: the monotonic one stands still while a machine is suspended, and the wall clock can
// be set back.
type leaseClock struct {
	length time.Duration
	began  atomic.Pointer[time.Time]
}

// renewed counts from when the renewal was sent, which is before the server has
// seen it.
func (c *leaseClock) renewed(sent time.Time) { c.began.Store(&sent) }

func (c *leaseClock) left() time.Duration {
	began, now := *c.began.Load(), time.Now()
	return c.length - max(now.Sub(began), now.Round(0).Sub(began.Round(0)))
}

// putLease writes a key of the bucket of leases by compare-and-set on its revision, which
// is 0 for a key that has never been.
func (f *Fleet) putLease(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	m := nats.NewMsg(f.leaseSubject(key))
	m.Data = value
	options := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(rev)}
	if ttl > 0 {
		options = append(options, jetstream.WithMsgTTL(ttl))
	}
	ack, err := f.js.PublishMsg(ctx, m, options...)
	if err != nil {
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

func (f *Fleet) leaseSubject(key string) string { return "$KV." + f.name + "-leases." + key }

func isWrongRevision(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
