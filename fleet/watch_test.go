package fleet

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A watch that is interrupted goes on from where it was, and tells only once that it has told all.
func TestAWatchGoesOn(t *testing.T) {
	f, err := Open(t.Context(), Config{})
	require.NoError(t, err)
	defer f.Close()
	put := func(key, value string) {
		t.Helper()
		_, err := f.claims.Put(t.Context(), key, []byte(value))
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
	changes := f.watch(ctx, &working, []source{{f.claims, []string{"*"}, func(_ *view, e *entry) (*place, bool) { got = e; return nil, false }}})
	// next is the next entry; without one, all is told.
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
			return *got
		}
		return entry{}
	}
	assert.Equal(t, entry{key: "b", value: []byte("before"), rev: 2}, next())
	assert.Equal(t, entry{key: "a", value: []byte("again"), rev: 3}, next())
	assert.Equal(t, entry{}, next())
	put("c", "now")
	assert.Equal(t, entry{key: "c", value: []byte("now"), rev: 4}, next())

	for _, lost := range []string{"once", "twice"} {
		s, err := f.js.Stream(t.Context(), "KV_"+f.claims.Bucket())
		require.NoError(t, err)
		for name := range s.ConsumerNames(t.Context()).Name() {
			require.NoError(t, s.DeleteConsumer(t.Context(), name))
		}
		put("c", "meanwhile")
		put("c", lost)
		e := next()
		for string(e.value) == "meanwhile" { // it may have been told again at once
			e = next()
		}
		assert.Equal(t, "c", e.key)
		assert.Equal(t, lost, string(e.value))
	}
	require.NoError(t, f.claims.Delete(t.Context(), "a"))
	e := next()
	assert.Equal(t, "a", e.key)
	assert.True(t, e.gone)
}
