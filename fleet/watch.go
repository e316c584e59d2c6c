package fleet

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// watch tells all that a bucket holds, then a nil, and then what changes, until ctx
// ends.
func (t *tenure) watch(ctx context.Context, kv jetstream.KeyValue) <-chan jetstream.KeyValueEntry {
	entries := make(chan jetstream.KeyValueEntry)
	t.working.Go(func() {
		for ctx.Err() == nil {
			w, err := kv.WatchAll(ctx)
			if err != nil {
				t.f.log.Warn("cannot watch", "bucket", kv.Bucket(), "err", err)
				pause(ctx, 500*time.Millisecond)
				continue
			}
			forward(ctx, w, entries)
			_ = w.Stop()
		}
	})
	return entries
}

func forward(ctx context.Context, w jetstream.KeyWatcher, to chan<- jetstream.KeyValueEntry) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			select {
			case to <- e:
			case <-ctx.Done():
				return
			}
		}
	}
}
