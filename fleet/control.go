package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Control administers the rooms of a fleet. Its methods may be called from any goroutine. They block
// until NATS has answered, or their context ends. Get one from [Fleet.Control].
type Control struct{ f *Fleet }

// Control returns a [Control] for the rooms of the fleet.
func (f *Fleet) Control() Control { return Control{f} }

// A Status is a room and its holder.
type Status struct {
	Spec
	// Worker is the name of the worker that holds the room, or empty.
	Worker string `json:"worker,omitempty"`
	// Session is that worker's session.
	Session string `json:"session,omitempty"`
	// Fence grows with each change of the holder, and with other changes of the room's shard.
	Fence uint64 `json:"fence,omitempty"`
	// Since is when the holder took the room.
	Since time.Time `json:"since,omitzero"`
	// Pinned is the worker that the room was moved to; see [Control.Move].
	Pinned string `json:"pinned,omitempty"`
	// Removed reports whether the room has been removed; only in [Control.Watch].
	Removed bool `json:"removed,omitempty"`
}

// A WorkerStatus is a worker that has a lease.
type WorkerStatus struct {
	Name     string    `json:"name"`
	Host     string    `json:"host,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Session  string    `json:"session"`
	Since    time.Time `json:"since"`
	Draining bool      `json:"draining,omitempty"`
	Rooms    int       `json:"rooms"` // that it held when it last renewed its lease
}

// Add adds a room, which a worker takes at once. It returns [ErrRoomExists], a *wechatws.OptionError
// about the spec, or an error when the bucket of rooms is 15/16 full: the rest is for
// [Control.Remove], [Control.Update], [Control.Move], and for workers that take rooms.
func (c Control) Add(ctx context.Context, spec Spec) error {
	if err := spec.check(); err != nil {
		return err
	}
	bucket, err := c.hasRoom(ctx)
	if err == nil {
		err = c.f.open(ctx, c.f.shard(spec.ID), bucket.Created) // first: a worker holds shards that have a claim
	}
	if err != nil {
		return c.about(spec.ID, err)
	}
	value, err := record{Spec: spec, Added: bucket.State.LastSeq}.encode()
	if err != nil {
		return c.about(spec.ID, err)
	}
	for rev := uint64(0); ; {
		_, err := c.f.putRoom(ctx, c.f.roomKey(spec.ID), value, rev)
		if !isWrongRevision(err) {
			return c.about(spec.ID, err)
		}
		r, now, err := c.f.record(ctx, spec.ID)
		switch {
		case err == nil && r != nil:
			err = fmt.Errorf("%w: %q", ErrRoomExists, spec.ID)
		case err == nil: // it was removed; a message that was sent at that time is not for this one
			err = c.f.out.Purge(ctx, jetstream.WithPurgeSubject(c.f.outSubject(spec.ID)))
		}
		if err != nil {
			return c.about(spec.ID, err)
		}
		rev = now
	}
}

// hasRoom returns the bucket of rooms, or an error if it is full up to 15/16: NATS refuses all writes to a
// stream that is full.
func (c Control) hasRoom(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := c.f.js.Stream(ctx, "KV_"+c.f.rooms.Bucket())
	if err != nil {
		return nil, err
	}
	info := s.CachedInfo()
	if info.State.Bytes > uint64(info.Config.MaxBytes-info.Config.MaxBytes/16) {
		return nil, fmt.Errorf("bucket %s is full: it has %d of at most %d bytes", c.f.rooms.Bucket(), info.State.Bytes, info.Config.MaxBytes)
	}
	return info, nil
}

// Update replaces the spec of a room; its holder closes the client and makes one by the new spec. It
// returns [ErrNoRoom] if there is no such room.
func (c Control) Update(ctx context.Context, spec Spec) error {
	if err := spec.check(); err != nil {
		return err
	}
	return c.change(ctx, spec.ID, func(r record) ([]byte, error) {
		r.Spec = spec
		return r.encode()
	})
}

// change replaces the record of a room by one that is made of it; without one, it is deleted.
func (c Control) change(ctx context.Context, room string, next func(r record) ([]byte, error)) error {
	for {
		r, rev, err := c.existing(ctx, room)
		if err != nil {
			return err
		}
		value, err := next(*r)
		if err == nil {
			_, err = c.f.putRoom(ctx, c.f.roomKey(room), value, rev)
		}
		if !isWrongRevision(err) {
			return c.about(room, err)
		} // else it was changed meanwhile
	}
}

// existing returns the record of a room and its revision, or ErrNoRoom.
func (c Control) existing(ctx context.Context, room string) (*record, uint64, error) {
	r, rev, err := c.f.record(ctx, room)
	if err == nil && r == nil {
		err = fmt.Errorf("%w: %q", ErrNoRoom, room)
	}
	return r, rev, c.about(room, err)
}

// encode returns the value of a record whose spec is new.
func (r record) encode() ([]byte, error) {
	r.Change = nuid.Next()
	return json.Marshal(r)
}

// Remove removes a room: its holder closes the client, and the messages to the room that wait are
// dropped. It returns their number, or [ErrNoRoom] if there is no such room.
func (c Control) Remove(ctx context.Context, room string) (undelivered uint64, err error) {
	if err := c.change(ctx, room, func(record) ([]byte, error) { return nil, nil }); err != nil {
		return 0, err
	}
	info, err := c.f.out.Info(ctx, jetstream.WithSubjectFilter(c.f.outSubject(room)))
	if err != nil {
		return 0, c.about(room, err)
	}
	undelivered = info.State.Subjects[c.f.outSubject(room)]
	return undelivered, c.about(room, c.f.out.Purge(ctx, jetstream.WithPurgeSubject(c.f.outSubject(room))))
}

func (c Control) about(room string, err error) error {
	if err == nil || errors.Is(err, ErrNoRoom) || errors.Is(err, ErrRoomExists) {
		return err
	}
	return fmt.Errorf("fleet: room %q: %w", room, plain(err))
}

// Get returns one room, or [ErrNoRoom]. It reads the room and the session of its holder in one request, and
// the holder's lease, which is in another bucket, in a second one. If the replica of NATS that answers is
// behind, Get asks the leader.
func (c Control) Get(ctx context.Context, room string) (Status, error) {
	s, l, err := c.f.lookUp(ctx, room)
	switch {
	case err != nil:
		return Status{}, c.about(room, err)
	case l.record == nil:
		return Status{}, fmt.Errorf("%w: %q", ErrNoRoom, room)
	}
	v := newView()
	if session := s.claim.of(l.token).Session; session != "" {
		m, err := c.f.member(ctx, session)
		if err != nil {
			return Status{}, c.about(room, err)
		}
		v.members[session] = m
	}
	return v.status(s, l), nil
}

// List returns all rooms, sorted by ID.
func (c Control) List(ctx context.Context) ([]Status, error) {
	var list []Status
	for s, err := range c.look(ctx, false, claimPrefix+"*", roomPrefix+"*.*") {
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Watch returns an iterator over every room, and then over each room that changes, until the loop or
// ctx ends. Its last pair has the error: the cause of ctx, or the error of NATS. It waits for a NATS
// that cannot be reached; rooms that are removed during an absence of more than an hour are left out.
func (c Control) Watch(ctx context.Context) iter.Seq2[Status, error] {
	return c.look(ctx, true, claimPrefix+"*", roomPrefix+"*.*")
}

// look yields the rooms as some keys are now, and if follow is true each change after that.
func (c Control) look(ctx context.Context, follow bool, keys ...string) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		v := newView()
		yielded := map[*listing]Status{}
		for changed, err := range c.f.follow(ctx, c.f.sources(keys...), &v) {
			if err != nil {
				yield(Status{}, err)
				return
			}
			shards := maps.Values(v.shards)
			if changed != nil {
				shards = slices.Values([]*shard{changed})
			}
			for s := range shards {
				for _, l := range s.rooms {
					now := v.status(s, l)
					was, known := yielded[l]
					if yielded[l] = now; now.Removed { // the watch does not go back
						delete(yielded, l)
						delete(s.rooms, l.token)
					}
					if !known && now.Removed || known && sameStatus(now, was) {
						continue
					}
					if !yield(now, nil) {
						return
					}
				}
			}
			if !follow {
				return
			}
		}
	}
}

func (v *view) status(s *shard, l *listing) Status {
	status := Status{Spec: Spec{ID: l.id}, Removed: l.record == nil}
	if l.record != nil {
		status.Spec, status.Pinned = l.record.Spec, l.record.Pin
	}
	h := s.claim.of(l.token)
	if m := v.members[h.Session]; m != nil && l.record != nil {
		status.Worker, status.Session, status.Fence, status.Since = m.Name, m.session, s.fence(l), h.Since
	}
	return status
}

// sameStatus compares all fields but Fence, which changes with other rooms of the shard, too.
func sameStatus(a, b Status) bool {
	return a.Worker == b.Worker && a.Session == b.Session && a.Since.Equal(b.Since) && a.Pinned == b.Pinned &&
		a.Removed == b.Removed && a.Endpoint == b.Endpoint &&
		fmt.Sprint(a.IDs, a.Options, a.Secrets) == fmt.Sprint(b.IDs, b.Options, b.Secrets)
}

// Move moves a room to a worker, which keeps it for as long as the worker runs, and returns when the
// worker holds it. An empty worker undoes that, and does not wait. Move returns [ErrNoRoom]
// or [ErrNoWorker]. When ctx ends it returns the error of ctx or its cause; the room may be moved nevertheless.
//
// Each room that is moved takes space in the claim of its shard, which every worker reads: move few.
func (c Control) Move(ctx context.Context, room, worker string) error {
	if worker != "" {
		if _, _, err := c.existing(ctx, room); err != nil {
			return err
		}
		workers, err := c.Workers(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(workers, func(w WorkerStatus) bool { return w.Name == worker && !w.Draining }) {
			return fmt.Errorf("%w: %q", ErrNoWorker, worker)
		}
	}
	err := c.change(ctx, room, func(r record) ([]byte, error) {
		r.Pin = worker
		return json.Marshal(r)
	})
	if err != nil || worker == "" {
		return err
	}
	for s, err := range c.look(ctx, true, claimKey(c.f.shard(room)), c.f.roomKey(room)) {
		switch {
		case err != nil:
			return c.about(room, err)
		case s.ID != room:
		case s.Removed:
			return fmt.Errorf("%w: %q", ErrNoRoom, room)
		case s.Worker == worker:
			return nil
		}
	}
	return nil
}

// Workers returns the workers that have a lease, sorted by name.
func (c Control) Workers(ctx context.Context) ([]WorkerStatus, error) {
	v := newView()
	for _, err := range c.f.follow(ctx, c.f.sources(), &v) {
		if err != nil {
			return nil, err
		}
		break
	}
	list := make([]WorkerStatus, 0, len(v.members))
	for _, m := range v.members {
		list = append(list, WorkerStatus{m.Name, m.Host, m.PID, m.session, m.Since, m.Draining, m.Rooms})
	}
	slices.SortFunc(list, func(a, b WorkerStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Session, b.Session))
	})
	return list, nil
}

// Drain makes a worker hand over all its rooms and return from [Worker.Run]. It returns when the
// worker has begun, or [ErrNoWorker].
func (c Control) Drain(ctx context.Context, worker string) error {
	_, err := c.ask(ctx, worker, askDrain)
	return err
}

// ask sends a request to a worker, and returns the answer.
func (c Control) ask(ctx context.Context, worker, question string) (*nats.Msg, error) {
	if len(worker) > longestID {
		return nil, fmt.Errorf("%w: %.40q", ErrNoWorker, worker)
	}
	m, err := c.f.nc.RequestMsgWithContext(ctx, request(c.f.askSubject(worker, question), question))
	switch {
	case noSuch(err):
		return nil, fmt.Errorf("%w: %q", ErrNoWorker, worker)
	case err != nil:
		return nil, fmt.Errorf("fleet: worker %q: %w", worker, plain(err))
	}
	return m, nil
}

// Stats returns the result of [Worker.Stats] of a worker in any process, or [ErrNoWorker].
func (c Control) Stats(ctx context.Context, worker string) (WorkerStats, error) {
	var s WorkerStats
	m, err := c.ask(ctx, worker, askStats)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(m.Data, &s)
}
