package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nuid"
)

// A session is a worker's lease: a key with a time to live in each of the buckets of leases,
// which are renewed in turn. It lives for as long as one of them does, and so outlives a NATS
// server that is lost with the buckets that it led. A session that has ended cannot come back:
// its name is never used again. One renewal renews the lease on every room that is claimed
// under the session.
type session struct {
	f    *Fleet
	id   string
	keys []*leaseKey
	next int // of keys, to be renewed

	over chan struct{} // closed when rooms must be closed

	mu   sync.Mutex
	told member
	news chan struct{} // told has changed
}

var errSessionGone = errors.New("fleet: the session has ended")

// newSession makes a session, with the first of its keys. It waits for NATS until ctx ends.
func (f *Fleet) newSession(ctx context.Context, told member) (*session, error) {
	for first := 0; ; first++ {
		s := &session{f: f, id: nuid.Next(), next: first % len(f.leases), told: told, over: make(chan struct{}), news: make(chan struct{}, 1)}
		for bucket := range f.leases {
			s.keys = append(s.keys, newLeaseKey(f, bucket, s.id))
		}
		began := time.Now()
		k := s.turn()
		err := k.put(ctx, s.value())
		if err == nil {
			k.busy = false
			k.clock.renewed(began)
			return s, nil
		}
		if !temporary(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("fleet: no lease: %w", err)
		}
		// It may be there all the same, and since when is not known: another one.
		pause(ctx, 250*time.Millisecond)
	}
}

// left is how long the lease is good for.
func (s *session) left() (most time.Duration) {
	for _, k := range s.keys {
		most = max(most, k.clock.left())
	}
	return most
}

// guard is asked before anything is said in the name of a room.
func (s *session) guard() error {
	if s.left() <= 0 {
		return ErrLeaseLost
	}
	return nil
}

// keep renews the lease until ctx ends, and closes over when rooms must be closed: then
// there is half a margin left in which to say good-bye.
func (s *session) keep(ctx context.Context) {
	half := s.f.settled.margin() / 2
	last := time.NewTimer(s.left() - half)
	defer last.Stop()
	due := time.NewTimer(s.f.settled.renewal())
	defer due.Stop()
	// A renewal that NATS keeps waiting must not keep us from looking at the clock, nor from
	// renewing the other keys.
	type result struct {
		of    *leaseKey
		began time.Time
		err   error
	}
	results := make(chan result)
	underWay, urgent := 0, false
	renew := func() {
		k := s.turn()
		if k == nil {
			return // as soon as there is a result
		}
		urgent = false
		underWay++
		value, began := s.value(), time.Now()
		go func() { results <- result{k, began, k.renew(ctx, value)} }()
	}
	defer func() {
		close(s.over) // first: rooms are to be closed
		for range underWay {
			<-results
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-last.C:
			left := s.left() - half
			if left <= 0 {
				return
			}
			last.Reset(left)
		case <-due.C:
			renew()
			due.Reset(s.f.settled.renewal())
		case <-s.news:
			urgent = true
			renew()
		case r := <-results:
			underWay--
			r.of.busy = false
			left := s.left()
			switch {
			case r.err == nil && left > 0:
				r.of.clock.renewed(r.began)
			case r.err == nil, errors.Is(r.err, errSessionGone):
				// A key that was written when there was no other one any more does not count: others
				// may have found that there was none.
				s.f.log.Error("the lease is lost", "session", s.id)
				return
			case ctx.Err() == nil:
				s.f.log.Warn("the lease could not be renewed", "session", s.id, "bucket", s.f.leases[r.of.bucket].Bucket(), "left", left, "err", r.err)
				due.Reset(100 * time.Millisecond)
			}
			if urgent {
				renew()
			}
		}
	}
}

// turn is the next key that is not being renewed, if there is one, and marks it as such.
func (s *session) turn() *leaseKey {
	for range s.keys {
		k := s.keys[s.next]
		s.next = (s.next + 1) % len(s.keys)
		if !k.busy {
			k.busy = true
			return k
		}
	}
	return nil
}

// value is what the keys tell of the worker.
func (s *session) value() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, err := json.Marshal(s.told)
	if err != nil {
		panic(err) // text, numbers and a time
	}
	return value
}

// drain tells the others to take our rooms.
func (s *session) drain() { s.tell(func(m *member) { m.Draining = true }) }

// settle tells the others that we take rooms now.
func (s *session) settle() { s.tell(func(m *member) { m.Settling = false }) }

// tell changes what the others know of us, by a renewal at once.
func (s *session) tell(change func(*member)) {
	s.mu.Lock()
	change(&s.told)
	s.told.Version++
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// end ends the session, so that other workers need not wait for its time to run out. All clients must
// be closed, and keep must have returned.
func (s *session) end(ctx context.Context) error {
	errs := make([]error, len(s.keys))
	var ending sync.WaitGroup
	for i, k := range s.keys {
		ending.Go(func() { errs[i] = k.forget(ctx) })
	}
	ending.Wait()
	return errors.Join(errs...)
}

// ended reports whether a session has ended for good: none of its keys is there, in two readings
// of all of them. In one reading a key that was read early could have been written again
// before another one that is read late has run out. But a session that lives after the first
// reading does so by a key that was written after it was read, and such a key lasts until
// after the second one: that is why these may not take longer than half a lease.
func (f *Fleet) ended(ctx context.Context, session string) (bool, error) {
	began := time.Now()
	for range 2 {
		for bucket := range f.leases {
			_, live, err := f.readLease(ctx, bucket, session)
			if live || err != nil {
				return false, err
			}
		}
	}
	return since(began) < f.settled.Lease/2, nil
}
