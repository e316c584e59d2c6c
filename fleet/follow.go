package fleet

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A source is a bucket that a view is made of.
type source struct {
	kv   jetstream.KeyValue
	keys []string
	// see takes what has changed into a view, and returns the place that it is about, and whether
	// the members have changed.
	see func(v *view, e *entry) (p *place, members bool)
}

// A change is what a source has told.
type change struct {
	source int
	see    func(v *view) (p *place, members bool) // nil: it has told all that there was
	err    error                                  // the source is watched again in a moment
}

// sources are all buckets, as far as they are about a room, given as a token; * are all rooms.
func (f *Fleet) sources(token string) []source {
	list := []source{
		{f.rooms, []string{specPrefix + token, pinPrefix + token}, func(v *view, e *entry) (*place, bool) { return v.seeRoom(e), false }},
		{f.claims, []string{token}, func(v *view, e *entry) (*place, bool) { return v.seeClaim(e), false }},
	}
	for i, kv := range f.leases {
		list = append(list, source{kv, []string{"*"}, func(v *view, e *entry) (*place, bool) { return nil, v.seeSession(i, e) }})
	}
	return list
}

// watch tells all that sources hold, and then what changes, until ctx ends, in goroutines
// of working.
func (f *Fleet) watch(ctx context.Context, working *sync.WaitGroup, sources []source) <-chan change {
	changes := make(chan change)
	for i, s := range sources {
		tell := func(c change) {
			c.source = i
			select {
			case changes <- c:
			case <-ctx.Done():
			}
		}
		working.Go(func() {
			w := bucketWatch{f: f, kv: s.kv, keys: s.keys}
			for ctx.Err() == nil {
				err := w.run(ctx, func(e *entry) {
					c := change{}
					if e != nil {
						c.see = func(v *view) (*place, bool) { return s.see(v, e) }
					}
					tell(c)
				})
				if err != nil {
					tell(change{err: fmt.Errorf("fleet: watching %s: %w", s.kv.Bucket(), err)})
					pause(ctx, 250*time.Millisecond)
				}
			}
		})
	}
	return changes
}

// follow has a view become what the buckets say about a room, or all, and tells when that is
// complete, and then of each change: with the place that it is about, or without when it may be
// about any. A NATS that is away is waited for. An error is the last it tells.
func (f *Fleet) follow(ctx context.Context, token string, v *view) iter.Seq2[*place, error] {
	return func(yield func(*place, error) bool) {
		var working sync.WaitGroup
		defer working.Wait()
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		sources := f.sources(token)
		changes := f.watch(watching, &working, sources)
		told := map[int]bool{}
		var last error
		for {
			var p *place
			var c change
			select {
			case c = <-changes:
			case <-ctx.Done():
				err := context.Cause(ctx)
				if last != nil {
					err = fmt.Errorf("%w; %w", err, last)
				}
				yield(nil, err)
				return
			}
			news := true
			switch {
			case c.err != nil && !passing(c.err):
				yield(nil, c.err)
				return
			case c.err != nil:
				last, news = c.err, false
			case c.see == nil:
				told[c.source] = true
			default:
				var members bool
				p, members = c.see(v)
				news = p != nil || members
			}
			if news && len(told) == len(sources) && !yield(p, nil) {
				return
			}
		}
	}
}
