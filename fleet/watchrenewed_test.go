package fleet

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Keys that are renewed while they are read are there all the time: each reading has all of them. Other keys
// come meanwhile.
func TestAReadingHasKeysThatAreRenewed(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context())
	require.NoError(t, err)
	defer f.Close()
	kv, err := f.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "renewed"})
	require.NoError(t, err)
	const keys, readings = 8, 40
	ctx, cancel := context.WithCancel(t.Context())
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer cancel()
	for i := range keys {
		key := fmt.Sprint("key-", i)
		rev, err := f.putKey(t.Context(), kv, key, []byte("x"), 0, 0)
		require.NoError(t, err)
		renewing.Go(func() {
			for ctx.Err() == nil {
				if now, err := f.putKey(ctx, kv, key, []byte("x"), rev, 0); err == nil {
					rev = now
				}
			}
		})
	}
	read := func() map[string]bool {
		t.Helper()
		w := bucketWatch{f: f, kv: kv, keys: []string{"*"}}
		reading, done := context.WithTimeout(t.Context(), 30*time.Second)
		defer done()
		found := map[string]bool{}
		err := w.run(reading, func(e *entry) {
			if e == nil {
				done()
				return
			}
			found[e.key] = true
		})
		require.NoError(t, err)
		require.True(t, w.complete)
		return found
	}
	for i := range readings {
		_, err := f.putKey(t.Context(), kv, fmt.Sprint("new-", i), []byte("x"), 0, 0)
		require.NoError(t, err)
		found := read()
		for j := range keys {
			assert.True(t, found[fmt.Sprint("key-", j)], "reading %d has no key %d", i, j)
		}
	}
}
