package fleet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A source is a bucket that is watched.
type source struct {
	kv   jetstream.KeyValue
	keys []string
	// see takes what has changed into a view, and returns the place that it is about, and whether
	// the members have changed.
	see func(v *view, e jetstream.KeyValueEntry) (p *place, members bool)
}

// A change is what a source has told.
type change struct {
	source int
	see    func(v *view) (p *place, members bool) // nil: it has told all that there was
	err    error                                  // the watch has ended
}

// sources are all buckets, as far as they are about a room, given as a token; * are all rooms.
func (f *Fleet) sources(token string) []source {
	list := []source{
		{f.rooms, []string{specPrefix + token, pinPrefix + token}, func(v *view, e jetstream.KeyValueEntry) (*place, bool) {
			return v.seeRoom(e), false
		}},
		{f.claims, []string{token}, func(v *view, e jetstream.KeyValueEntry) (*place, bool) {
			return v.seeClaim(e), false
		}},
	}
	for i, kv := range f.leases {
		list = append(list, source{kv, []string{"*"}, func(v *view, e jetstream.KeyValueEntry) (*place, bool) {
			return nil, v.seeSession(i, e)
		}})
	}
	return list
}

// watch tells all that sources hold, and then what changes. A watch that ends begins again.
// All of that ends with ctx, in goroutines of working.
func watch(ctx context.Context, working *sync.WaitGroup, sources []source) <-chan change {
	changes := make(chan change)
	for i, s := range sources {
		working.Go(func() {
			tell := func(c change) {
				c.source = i
				select {
				case changes <- c:
				case <-ctx.Done():
				}
			}
			for ctx.Err() == nil {
				if err := s.watch(ctx, tell); err != nil {
					tell(change{err: fmt.Errorf("fleet: cannot watch %s: %w", s.kv.Bucket(), err)})
					pause(ctx, 500*time.Millisecond)
				}
			}
		})
	}
	return changes
}

func (s source) watch(ctx context.Context, tell func(change)) error {
	w, err := s.kv.WatchFiltered(ctx, slices.Clone(s.keys)) // it writes into them
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.New("NATS has ended the watch")
			case e == nil:
				tell(change{})
			default:
				tell(change{see: func(v *view) (*place, bool) { return s.see(v, e) }})
			}
		}
	}
}

// follow has a view become what the buckets say about a room, or all, and tells when that is
// complete, and then of each change: with the place that it is about, or without when it may be
// about any. An error is the last it tells.
func (f *Fleet) follow(ctx context.Context, token string, v *view) iter.Seq2[*place, error] {
	return func(yield func(*place, error) bool) {
		var working sync.WaitGroup
		defer working.Wait()
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		sources := f.sources(token)
		changes := watch(watching, &working, sources)
		told := map[int]bool{}
		for {
			var c change
			select {
			case c = <-changes:
			case <-ctx.Done():
				c.err = context.Cause(ctx)
			}
			if c.err != nil {
				yield(nil, c.err)
				return
			}
			var p *place
			about := false
			if c.see == nil {
				told[c.source] = true
				about = true
			} else {
				var members bool
				p, members = c.see(v)
				about = members || p != nil
			}
			if about && len(told) == len(sources) && !yield(p, nil) {
				return
			}
		}
	}
}
