package fleet

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
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
	see func(v *view) (p *place, members bool) // nil: all have told all that there was
	err error                                  // the source is watched again in a moment
}

// sources are all buckets, as far as they are about a room, given as a token; * are all rooms.
func (f *Fleet) sources(token string) []source {
	rooms := source{f.rooms, []string{specPrefix + token, pinPrefix + token}, func(v *view, e *entry) (*place, bool) { return v.seeRoom(e), false }}
	return append([]source{rooms}, f.holders(token)...)
}

// holders are those of the sources that have the holders of rooms.
func (f *Fleet) holders(token string) []source {
	list := []source{{f.claims, []string{token}, func(v *view, e *entry) (*place, bool) { return v.seeClaim(e), false }}}
	for i, kv := range f.leases {
		list = append(list, source{kv, []string{"*"}, func(v *view, e *entry) (*place, bool) { return nil, v.seeSession(i, e) }})
	}
	return list
}

// watch tells all that sources hold, and then what changes, until ctx ends, in goroutines
// of working.
func (f *Fleet) watch(ctx context.Context, working *sync.WaitGroup, sources []source) <-chan change {
	changes := make(chan change)
	tell := func(c change) {
		select {
		case changes <- c:
		case <-ctx.Done():
		}
	}
	var telling atomic.Int32 // sources that have not told all
	telling.Store(int32(len(sources)))
	for _, s := range sources {
		working.Go(func() {
			w := bucketWatch{f: f, kv: s.kv, keys: s.keys}
			for ctx.Err() == nil {
				err := w.run(ctx, func(e *entry) {
					switch {
					case e != nil:
						tell(change{see: func(v *view) (*place, bool) { return s.see(v, e) }})
					case telling.Add(-1) == 0:
						tell(change{})
					}
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

// follow has a view become what sources say, and tells when that is
// complete, and then of each change: with the place that it is about, or without when it may be
// about any. A NATS that is away is waited for. An error is the last it tells.
func (f *Fleet) follow(ctx context.Context, sources []source, v *view) iter.Seq2[*place, error] {
	return func(yield func(*place, error) bool) {
		var working sync.WaitGroup
		defer working.Wait()
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		changes := f.watch(watching, &working, sources)
		complete := false
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
			case c.err != nil && !temporary(c.err):
				yield(nil, c.err)
				return
			case c.err != nil:
				last, news = c.err, false
			case c.see == nil:
				complete = true
			default:
				var members bool
				p, members = c.see(v)
				news = p != nil || members
			}
			if news && complete && !yield(p, nil) {
				return
			}
		}
	}
}
