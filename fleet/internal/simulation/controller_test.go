package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wechatws/wechatws/fleet"
)

// changes are the kinds of changes that a controller makes, and of workers that come and go.
var changes = []func(s *schedule, at time.Duration){
	func(s *schedule, at time.Duration) {
		name := fmt.Sprint("added", len(s.steps))
		s.add(at, func(w *world) {
			w.account.add(name)
			w.change("add "+name, fleet.ErrRoomExists, func(ctx context.Context, c fleet.Control) error { return c.Add(ctx, w.spec(name)) })
		}, "room %s is added", name)
	},
	func(s *schedule, at time.Duration) {
		i, version := s.rand.IntN(100), len(s.steps)
		s.add(at, func(w *world) {
			spec := w.spec(w.account.there(i))
			spec.Endpoint += fmt.Sprint("&version=", version)
			w.change("update "+spec.ID, fleet.ErrNoRoom, func(ctx context.Context, c fleet.Control) error { return c.Update(ctx, spec) })
		}, "room %d is updated to version %d", i, version)
	},
	func(s *schedule, at time.Duration) {
		i := s.rand.IntN(100)
		s.add(at, func(w *world) {
			name := w.account.there(i)
			w.account.remove(name)
			w.change("remove "+name, fleet.ErrNoRoom, func(ctx context.Context, c fleet.Control) error {
				_, err := c.Remove(ctx, name)
				return err
			})
		}, "room %d is removed", i)
	},
	func(s *schedule, at time.Duration) {
		i, worker := s.rand.IntN(100), []string{"a", "b", "c", ""}[s.rand.IntN(4)]
		s.add(at, func(w *world) {
			name := w.account.there(i)
			w.starting.Go(func() { // if the worker is lost, it does not come
				ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
				defer cancel()
				_ = w.admin.fleet.Control().Move(ctx, name, worker)
			})
		}, "room %d is moved to worker %q", i, worker)
	},
	func(s *schedule, at time.Duration) {
		name := fmt.Sprint("d", len(s.steps))
		most := 1 + s.rand.IntN(4)
		s.fault(at, 20*time.Second, func(w *world) {
			w.starting.Go(func() {
				p, err := w.tryOpen(name, most%servers)
				if err != nil {
					w.Logf("%v: process %s cannot start: %v", w.since(), name, err)
					return
				}
				p.work(fleet.WithMaxRooms(most))
			})
		}, func(w *world) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, p := range w.processes {
				if p.name == name {
					p.cancel()
				}
			}
		}, "worker %s runs, which holds %d rooms at most", name, most)
	},
}

func (w *world) spec(room string) fleet.Spec {
	return fleet.Spec{ID: room, Endpoint: w.backend.endpoint(room)}
}

// change has the controller make a change until it is made. The error done means that it has been made before,
// or that there is nothing to change.
func (w *world) change(what string, done error, make func(ctx context.Context, c fleet.Control) error) {
	w.starting.Go(func() {
		for began := time.Now(); w.Context().Err() == nil; time.Sleep(time.Second) {
			ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
			err := make(ctx, w.admin.fleet.Control())
			cancel()
			if err == nil || errors.Is(err, done) {
				return
			}
			w.Logf("%v: %s: %v", w.since(), what, err)
			if time.Since(began) > 5*time.Minute {
				w.Errorf("%s: still %v", what, err)
				return
			}
		}
	})
}

// there returns one of the rooms that are not removed.
func (a *account) there(i int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(a.names), func(name string) bool { return !a.rooms[name].removed.IsZero() })
	return list[i%len(list)]
}

// remove is called before a room is removed. Messages to it need not be delivered any more.
func (a *account) remove(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rooms[name].removed = time.Now()
}

// outdated returns the rooms that are removed and still held, and those that are held by another spec than they
// have.
func (w *world) outdated() (list []string) {
	endpoints := map[string]string{}
	all, err := w.admin.fleet.Control().List(w.Context())
	if err != nil {
		return []string{err.Error()}
	}
	for _, s := range all {
		endpoints[s.ID] = s.Endpoint
	}
	w.account.mu.Lock()
	defer w.account.mu.Unlock()
	for name, r := range w.account.rooms {
		_, version, _ := strings.Cut(endpoints[name], "&version=")
		switch {
		case !r.removed.IsZero():
			if time.Since(r.wrote) < 1500*time.Millisecond {
				list = append(list, name+" is held, and removed")
			}
		case r.conn == nil || r.conn.Request().URL.Query().Get("version") != version:
			list = append(list, name+" is not held by its spec")
		}
	}
	return list
}
