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
	// see adds a change to a view, and returns the shard that it is about, and whether the members
	// have changed.
	see func(v *view, e *entry) (s *shard, members bool)
}

// A change is a change of a source.
type change struct {
	see func(v *view) (s *shard, members bool) // nil: all sources have reported all entries that they had
	err error                                  // the watch of the source starts again
}

// sources returns the buckets of leases, and the one of rooms, restricted to some keys.
func (f *Fleet) sources(keys ...string) []source {
	var list []source
	if len(keys) > 0 {
		list = append(list, source{f.rooms, keys, func(v *view, e *entry) (*shard, bool) { return v.see(e), false }})
	}
	for i, kv := range f.leases {
		list = append(list, source{kv, []string{"*"}, func(v *view, e *entry) (*shard, bool) { return nil, v.seeSession(i, e) }})
	}
	return list
}

// watch sends all entries of sources to the channel, and then each change, until ctx ends. It does so on
// goroutines of working.
func (f *Fleet) watch(ctx context.Context, working *sync.WaitGroup, sources []source) <-chan change {
	changes := make(chan change)
	send := func(c change) {
		select {
		case changes <- c:
		case <-ctx.Done():
		}
	}
	var incomplete atomic.Int32 // sources that have not reported all of their entries
	incomplete.Store(int32(len(sources)))
	for _, s := range sources {
		working.Go(func() {
			w := bucketWatch{f: f, kv: s.kv, keys: s.keys}
			for ctx.Err() == nil {
				err := w.run(ctx, func(e *entry) {
					switch {
					case e != nil:
						send(change{see: func(v *view) (*shard, bool) { return s.see(v, e) }})
					case incomplete.Add(-1) == 0:
						send(change{})
					}
				})
				if err != nil {
					send(change{err: fmt.Errorf("fleet: watching %s: %w", s.kv.Bucket(), plain(err))})
					pause(ctx, 250*time.Millisecond)
				}
			}
		})
	}
	return changes
}

// follow keeps a view equal to sources. It yields once when the view is complete, and then after each
// change, with the shard that the change is about, or nil if it may be about any. It waits for a NATS
// that cannot be reached. An error is in the last pair.
func (f *Fleet) follow(ctx context.Context, sources []source, v *view) iter.Seq2[*shard, error] {
	return func(yield func(*shard, error) bool) {
		var working sync.WaitGroup
		defer working.Wait()
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		changes := f.watch(watching, &working, sources)
		complete := false
		var last error
		for {
			var s *shard
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
				s, members = c.see(v)
				news = s != nil || members
			}
			if news && complete && !yield(s, nil) {
				return
			}
		}
	}
}
