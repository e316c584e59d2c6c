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

// A session is a worker's lease: a key with a time to live in each of the buckets of leases, which are
// renewed in turn. It lives for as long as one of its keys, and so outlives a NATS server that is lost
// with the buckets that it led. A session that has ended cannot come back: its id is never used again.
// One renewal renews the lease on every room that is claimed under the session.
type session struct {
	f    *Fleet
	id   string
	keys []*leaseKey
	next int // index in keys of the one to be renewed next

	over chan struct{} // closed when the worker must close its rooms

	rooms func() int // how many the worker holds

	mu   sync.Mutex
	self member        // the value of the keys
	news chan struct{} // receives when self has changed
}

var errKeyLost = errors.New("NATS has lost a key of the lease")

// newSession makes a session, with the first of its keys. It waits for NATS until ctx ends.
func (f *Fleet) newSession(ctx context.Context, self member, rooms func() int) (*session, error) {
	for first := 0; ; first++ {
		s := &session{f: f, id: nuid.Next(), next: first % len(f.leases), self: self, rooms: rooms, over: make(chan struct{}), news: make(chan struct{}, 1)}
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
		if first%40 == 0 {
			f.log.Warn("a worker waits for a lease", "worker", self.Name, "err", err)
		}
		// The key may exist all the same, and since when is not known: try another session.
		pause(ctx, 250*time.Millisecond)
	}
}

// left returns for how much longer the lease is valid.
func (s *session) left() (most time.Duration) {
	for _, k := range s.keys {
		most = max(most, k.clock.left())
	}
	return most
}

// guard is called before each write in the name of a room. It returns an error when the lease has run
// out.
func (s *session) guard() error {
	if s.left() <= 0 {
		return ErrLeaseLost
	}
	return nil
}

// keep renews the lease until ctx ends, and closes over when the worker must close its rooms: half a
// margin is left then for closing them.
func (s *session) keep(ctx context.Context) {
	half := s.f.settled.margin() / 2
	last := time.NewTimer(s.left() - half)
	defer last.Stop()
	due := time.NewTimer(s.f.settled.renewal())
	defer due.Stop()
	// A renewal that waits for NATS must delay neither the check of the clock nor the renewal of the
	// other keys.
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
			return // all are being renewed; the next result starts another renewal
		}
		urgent = false
		underWay++
		value, began := s.value(), time.Now()
		go func() { results <- result{k, began, k.renew(ctx, value)} }()
	}
	defer func() {
		close(s.over) // first, since the worker closes its rooms then
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
				s.found(r.began)
				if r.of.late {
					r.of.late = false
					s.f.log.Info("the lease is renewed again", "session", s.id, "bucket", s.f.leases[r.of.bucket].Bucket())
				}
			case r.err == nil, errors.Is(r.err, errKeyLost) && !s.lose(r.of):
				// A key that was written after all others had run out does not count: another worker
				// may have found none.
				s.f.log.Error("the lease is lost", "session", s.id)
				return
			case errors.Is(r.err, errKeyLost):
				s.f.log.Error("NATS has lost a key of the lease", "session", s.id, "bucket", s.f.leases[r.of.bucket].Bucket(), "left", s.left())
				renew() // another key, at once
			case ctx.Err() == nil:
				if !r.of.late {
					r.of.late = true
					s.f.log.Warn("the lease could not be renewed", "session", s.id, "bucket", s.f.leases[r.of.bucket].Bucket(), "left", left, "err", plain(r.err))
				}
				due.Reset(100 * time.Millisecond)
			}
			if urgent {
				renew()
			}
		}
	}
}

// lose makes a key that NATS has lost count no more, and reports whether the session may live by another
// one. The key is not written again before it is certain that another one exists: if NATS has lost all of
// them, other workers may have found none.
func (s *session) lose(k *leaseKey) bool {
	k.lost = time.Now()
	k.clock.stopped()
	return s.left() > s.f.settled.margin()/2
}

// found is called when a key was renewed, at a time: it existed then, and lost ones may be written again.
func (s *session) found(began time.Time) {
	for _, k := range s.keys {
		if began.After(k.lost) {
			k.lost = time.Time{}
		}
	}
}

// turn returns the next key that is neither being renewed nor lost, and marks it as being renewed; nil if
// there is none.
func (s *session) turn() *leaseKey {
	for range s.keys {
		k := s.keys[s.next]
		s.next = (s.next + 1) % len(s.keys)
		if !k.busy && k.lost.IsZero() {
			k.busy = true
			return k
		}
	}
	return nil
}

// value returns the value of the keys, which describes the worker.
func (s *session) value() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.self.Rooms = s.rooms()
	value, err := json.Marshal(s.self)
	if err != nil {
		panic(err) // text, numbers and a time
	}
	return value
}

// drain makes other workers take the rooms of this one.
func (s *session) drain() { s.change(func(m *member) { m.Draining = true }) }

// settle makes other workers hand rooms over to this one.
func (s *session) settle() { s.change(func(m *member) { m.Settling = false }) }

// change changes the value of the keys, and renews one at once.
func (s *session) change(change func(*member)) {
	s.mu.Lock()
	change(&s.self)
	s.self.Version++
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// end deletes the keys, so that other workers need not wait until they run out. The caller must have
// closed all clients, and keep must have returned.
func (s *session) end(ctx context.Context) error {
	errs := make([]error, len(s.keys))
	var ending sync.WaitGroup
	for i, k := range s.keys {
		ending.Go(func() { errs[i] = k.forget(ctx) })
	}
	ending.Wait()
	return errors.Join(errs...)
}

// ended reports whether a session has ended: none of its keys exists in two readings of all of them.
// During a single reading, a key that was read early may be written again before a key that is read
// late has run out. A session that lives after the first reading has a key that was written after it
// was read. Such a key exists until after the second reading, if both readings together take less than
// half a lease.
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
