package fleet

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A watch is complete when it has reported each revision up to the one that was the last.
func TestABacklogHasEachKey(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context())
	require.NoError(t, err)
	defer f.Close()
	kv, err := f.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "backlog"})
	require.NoError(t, err)
	put := func(key string) uint64 {
		t.Helper()
		rev, err := kv.PutString(t.Context(), key, "x")
		require.NoError(t, err)
		return rev
	}
	w := &bucketWatch{f: f, kv: kv, keys: []string{"a", "b"}}
	// reported reports a revision, and whether the watch is complete then.
	reported := func(b *backlog, rev, pending uint64) bool {
		t.Helper()
		gap := rev != w.next
		w.next = rev + 1
		done, err := b.reported(t.Context(), gap, pending)
		require.NoError(t, err)
		return done
	}

	b := &backlog{w: w}
	done, err := b.reported(t.Context(), true, 0)
	require.NoError(t, err)
	assert.True(t, done, "there are no keys")

	first, last := put("a"), put("b")
	put("other")
	b = &backlog{w: w, last: last}
	assert.False(t, reported(b, first, 1))
	assert.True(t, b.since.IsZero(), "the leader is not asked for each entry")
	assert.True(t, reported(b, last, 0))

	// While b is reported, a is replaced: nothing is pending for a moment.
	b = &backlog{w: w, last: last}
	again := put("a")
	assert.False(t, reported(b, last, 0))
	assert.True(t, reported(b, again, 0), "the last revision but that of another key")

	// The revision that was the last one is replaced before it is reported: that of another key may have been, too.
	b = &backlog{w: w, last: again}
	put("b")
	assert.False(t, reported(b, again, 0))
	second, third := put("b"), put("a")
	assert.False(t, reported(b, second, 0))
	assert.True(t, reported(b, third, 0), "this one follows without a gap")

	// That goes on for a second.
	put("a")
	b = &backlog{w: w, last: third + 1, since: time.Now().Add(-heartbeat)}
	second = put("b")
	put("a")
	assert.True(t, reported(b, second, 1), "a is not waited for")
}
