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

	"github.com/wechatws/wechatws/fleet/internal/names"
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
	// Fence is the number of the hold; it grows with each change of the holder.
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
	Rooms    int       `json:"rooms"` // claimed by it
}

// Add adds a room, which a worker takes at once. It returns [ErrRoomExists], a *wechatws.OptionError
// about the spec, or an error when the bucket of rooms is 15/16 full: the rest is for
// [Control.Remove], [Control.Update] and [Control.Move].
func (c Control) Add(ctx context.Context, spec Spec) error {
	value, err := c.encode(spec)
	if err != nil {
		return err
	}
	if err := c.hasRoom(ctx, len(value)); err != nil {
		return c.about(spec.ID, err)
	}
	return c.about(spec.ID, c.create(ctx, spec.ID, value))
}

// create writes the spec of a room that does not exist.
func (c Control) create(ctx context.Context, room string, value []byte) error {
	key := specPrefix + names.Token(room)
	_, err := c.f.putKey(ctx, c.f.rooms, key, value, 0, 0)
	if !isWrongRevision(err) {
		return err
	}
	m, err := c.f.latest(ctx, key)
	switch {
	case err == nil:
		return ErrRoomExists
	case !errors.Is(err, jetstream.ErrKeyNotFound):
		return err
	}
	// The room was removed. A message that was sent at that time is not for this one.
	if err := c.f.out.Purge(ctx, jetstream.WithPurgeSubject(c.f.outSubject(room))); err != nil {
		return err
	}
	var rev uint64
	if m != nil {
		rev = m.Seq
	}
	_, err = c.f.putKey(ctx, c.f.rooms, key, value, rev, 0)
	if isWrongRevision(err) { // another process was faster
		return ErrRoomExists
	}
	return err
}

// hasRoom returns an error if another spec of so many bytes would fill the bucket of rooms beyond 15/16.
// Removing and changing a room writes as well, and NATS refuses all writes to a stream that is full.
func (c Control) hasRoom(ctx context.Context, bytes int) error {
	s, err := c.f.js.Stream(ctx, "KV_"+c.f.rooms.Bucket())
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	most := info.Config.MaxBytes - info.Config.MaxBytes/16
	if most > 0 && info.State.Bytes+uint64(bytes) > uint64(most) {
		return fmt.Errorf("bucket %s is full: it has %d of at most %d bytes", c.f.rooms.Bucket(), info.State.Bytes, info.Config.MaxBytes)
	}
	return nil
}

// Update replaces the spec of a room; its holder closes the client and makes one by the new spec. It
// returns [ErrNoRoom] if there is no such room.
func (c Control) Update(ctx context.Context, spec Spec) error {
	value, err := c.encode(spec)
	if err != nil {
		return err
	}
	key := specPrefix + names.Token(spec.ID)
	m, err := c.f.latest(ctx, key)
	if err == nil {
		_, err = c.f.putKey(ctx, c.f.rooms, key, value, m.Seq, 0)
	}
	return c.about(spec.ID, err)
}

func (c Control) encode(spec Spec) ([]byte, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	return json.Marshal(spec)
}

// Remove removes a room: its holder closes the client, and the messages to the room that wait are
// dropped. It returns their number, or [ErrNoRoom] if there is no such room.
func (c Control) Remove(ctx context.Context, room string) (undelivered uint64, err error) {
	token, err := token(room)
	if err != nil {
		return 0, err
	}
	m, err := c.f.latest(ctx, specPrefix+token)
	if err == nil {
		err = c.f.forget(ctx, c.f.rooms, specPrefix+token, m.Seq)
	}
	if err == nil {
		err = c.unpin(ctx, token)
	}
	if err != nil {
		return 0, c.about(room, err)
	}
	info, err := c.f.out.Info(ctx, jetstream.WithSubjectFilter(c.f.outSubject(room)))
	if err != nil {
		return 0, c.about(room, err)
	}
	undelivered = info.State.Subjects[c.f.outSubject(room)]
	err = c.f.out.Purge(ctx, jetstream.WithPurgeSubject(c.f.outSubject(room)))
	if err == nil { // the last holder's fence, which has no maximum age
		err = c.f.in.Purge(ctx, jetstream.WithPurgeSubject(c.f.inSubject(room, heldToken)))
	}
	return undelivered, c.about(room, err)
}

func (c Control) unpin(ctx context.Context, token string) error {
	m, err := c.f.latest(ctx, pinPrefix+token)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.f.forget(ctx, c.f.rooms, pinPrefix+token, m.Seq)
}

func (c Control) about(room string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return fmt.Errorf("%w: %q", ErrNoRoom, room)
	case errors.Is(err, ErrRoomExists):
		return fmt.Errorf("%w: %q", err, room)
	}
	return fmt.Errorf("fleet: room %q: %w", room, err)
}

// Get returns one room, or [ErrNoRoom].
func (c Control) Get(ctx context.Context, room string) (Status, error) {
	token, err := token(room)
	if err != nil {
		return Status{}, err
	}
	for s, err := range c.look(ctx, token, false) {
		return s, err
	}
	return Status{}, fmt.Errorf("%w: %q", ErrNoRoom, room)
}

// List returns all rooms, sorted by ID.
func (c Control) List(ctx context.Context) ([]Status, error) {
	var list []Status
	for s, err := range c.look(ctx, "*", false) {
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
func (c Control) Watch(ctx context.Context) iter.Seq2[Status, error] { return c.look(ctx, "*", true) }

// look yields the rooms as the buckets are now, and if follow is true each change after that.
func (c Control) look(ctx context.Context, token string, follow bool) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		v := newView()
		yielded := map[*place]Status{}
		next := func(p *place) bool {
			s := v.status(p)
			was, known := yielded[p]
			if !known && s.Removed || known && sameStatus(s, was) {
				return true
			}
			yielded[p] = s
			return yield(s, nil)
		}
		for p, err := range c.f.follow(ctx, c.f.sources(token), &v) {
			if err != nil {
				yield(Status{}, err)
				return
			}
			changed := maps.Values(v.places)
			if p != nil {
				changed = slices.Values([]*place{p})
			}
			for p := range changed {
				if !next(p) {
					return
				}
			}
			if !follow {
				return
			}
		}
	}
}

func (v *view) status(p *place) Status {
	s := Status{Spec: Spec{ID: p.id}, Pinned: p.pin, Removed: p.spec == nil}
	if p.spec != nil {
		s.Spec = *p.spec
	}
	if m := v.members[p.claim.Session]; m != nil {
		s.Worker, s.Session, s.Fence, s.Since = m.Name, m.session, p.claim.rev, p.claim.Since
	}
	return s
}

// sameStatus compares all fields but Since, which changes with the fence only.
func sameStatus(a, b Status) bool {
	return a.Worker == b.Worker && a.Session == b.Session && a.Fence == b.Fence && a.Pinned == b.Pinned &&
		a.Removed == b.Removed && a.Endpoint == b.Endpoint &&
		fmt.Sprint(a.IDs, a.Options, a.Secrets) == fmt.Sprint(b.IDs, b.Options, b.Secrets)
}

// Move moves a room to a worker, which keeps it for as long as the worker runs, and returns when the
// worker holds it. An empty worker undoes that, and does not wait. Move returns [ErrNoRoom],
// [ErrNoWorker], or the cause of ctx; then the room is moved nevertheless.
func (c Control) Move(ctx context.Context, room, worker string) error {
	token, err := token(room)
	if err != nil {
		return err
	}
	if _, err := c.f.latest(ctx, specPrefix+token); err != nil {
		return c.about(room, err)
	}
	if worker == "" {
		return c.about(room, c.unpin(ctx, token))
	}
	workers, err := c.Workers(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(workers, func(w WorkerStatus) bool { return w.Name == worker && !w.Draining }) {
		return fmt.Errorf("%w: %q", ErrNoWorker, worker)
	}
	if _, err := c.f.rooms.Put(ctx, pinPrefix+token, []byte(worker)); err != nil {
		return c.about(room, err)
	}
	for s, err := range c.look(ctx, token, true) {
		switch {
		case err != nil:
			return c.about(room, err)
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
	for _, err := range c.f.follow(ctx, c.f.holders("*"), &v) {
		if err != nil {
			return nil, err
		}
		break
	}
	rooms := map[string]int{}
	for _, p := range v.places {
		rooms[p.claim.Session]++
	}
	list := make([]WorkerStatus, 0, len(v.members))
	for _, m := range v.members {
		list = append(list, WorkerStatus{m.Name, m.Host, m.PID, m.session, m.Since, m.Draining, rooms[m.session]})
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
		return nil, fmt.Errorf("fleet: worker %q: %w", worker, err)
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
