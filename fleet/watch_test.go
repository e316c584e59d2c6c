package fleet

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A watch that is interrupted continues from where it was, and reports only once that it is complete.
func TestAWatchGoesOn(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context())
	require.NoError(t, err)
	defer f.Close()
	put := func(key, value string) {
		t.Helper()
		_, err := f.rooms.Put(t.Context(), key, []byte(value))
		require.NoError(t, err)
	}
	put("a", "before")
	put("b", "before")
	put("a", "again")

	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	var got *entry
	changes := f.watch(ctx, &working, []source{{f.rooms, []string{"a", "b", "c"}, func(_ *view, e *entry) (*shard, bool) { got = e; return nil, false }}})
	// next returns the next entry; without one, all entries are reported.
	next := func() entry {
		t.Helper()
		for c := range changes {
			if c.err != nil {
				assert.True(t, temporary(c.err), "%v", c.err)
				continue
			}
			if got = nil; c.see == nil {
				return entry{}
			}
			c.see(nil)
			got.written = time.Time{}
			return *got
		}
		return entry{}
	}
	assert.Equal(t, entry{key: "b", value: []byte("before"), rev: 3}, next())
	assert.Equal(t, entry{key: "a", value: []byte("again"), rev: 4}, next())
	assert.Equal(t, entry{}, next())
	put("c", "now")
	assert.Equal(t, entry{key: "c", value: []byte("now"), rev: 5}, next())

	for _, lost := range []string{"once", "twice"} {
		s, err := f.js.Stream(t.Context(), "KV_"+f.rooms.Bucket())
		require.NoError(t, err)
		for name := range s.ConsumerNames(t.Context()).Name() {
			require.NoError(t, s.DeleteConsumer(t.Context(), name))
		}
		put("c", "meanwhile")
		put("c", lost)
		e := next()
		for string(e.value) == "meanwhile" { // it may have been reported again at once
			e = next()
		}
		assert.Equal(t, "c", e.key)
		assert.Equal(t, lost, string(e.value))
	}
	require.NoError(t, f.rooms.Delete(t.Context(), "a"))
	e := next()
	assert.Equal(t, "a", e.key)
	assert.True(t, e.gone)
}

// A watch of a bucket that was deleted and made again, in which revisions begin at 1, reports what is in it.
func TestAWatchOfABucketThatIsMadeAgain(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context())
	require.NoError(t, err)
	defer f.Close()
	made := func() jetstream.KeyValue {
		kv, err := f.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "again"})
		require.NoError(t, err)
		return kv
	}
	kv := made()
	entries := make(chan *entry, 10)
	next := func() string {
		select {
		case e := <-entries:
			return e.key
		case <-time.After(30 * time.Second):
			return ""
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		w := bucketWatch{f: f, kv: kv, keys: []string{"*"}}
		for ctx.Err() == nil {
			_ = w.run(ctx, func(e *entry) {
				if e != nil {
					entries <- e
				}
			})
		}
	})
	for _, key := range []string{"a", "b", "c"} {
		_, err := kv.PutString(t.Context(), key, "before")
		require.NoError(t, err)
		require.Equal(t, key, next())
	}
	require.NoError(t, f.js.DeleteKeyValue(t.Context(), "again"))
	_, err = made().PutString(t.Context(), "d", "after")
	require.NoError(t, err)
	assert.Equal(t, "d", next())
}
