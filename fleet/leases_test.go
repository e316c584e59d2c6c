package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A session lives for as long as one of its keys does, and the others are written again when
// their buckets are back. So buckets may be lost one after the other, each for longer
// than the lease.
func TestASessionOutlivesBuckets(t *testing.T) {
	t.Parallel()
	const lease = 4 * time.Second
	f := openWithThreeLeases(t, lease)
	srv := wstest.NewServer()
	defer srv.Close()
	require.NoError(t, f.Control().Add(t.Context(), Spec{ID: "r", Endpoint: srv.URL()}))
	w, err := f.NewWorker(func(_ context.Context, r *Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint, wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness())
	}, WithWorkerName("w"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	soon := func(what string, done func() bool) {
		t.Helper()
		require.Eventually(t, done, 30*time.Second, 10*time.Millisecond, what)
	}
	soon("it holds the room", func() bool { return w.Stats().Open == 1 })
	session := w.Stats().Session

	for _, lost := range [][]int{{0, 1}, {2, 0}, {1}} {
		for _, i := range lost {
			soon("all keys are there", func() bool { return there(t, f, i, session) })
			require.NoError(t, f.js.DeleteStream(t.Context(), "KV_"+f.leases[i].Bucket()))
		}
		for began := time.Now(); time.Since(began) < lease*3/2; time.Sleep(50 * time.Millisecond) {
			require.Equal(t, session, w.Stats().Session)
			ended, err := f.ended(t.Context(), session)
			require.False(t, ended && err == nil)
		}
		for _, i := range lost {
			_, err := f.bucket(t.Context(), jetstream.KeyValueConfig{Bucket: fmt.Sprint("leases-", i+1)}, maxLeases)
			require.NoError(t, err)
		}
	}
	for i := range f.leases {
		soon("all keys are there", func() bool { return there(t, f, i, session) })
	}
	assert.Equal(t, session, w.Stats().Session)
	assert.Len(t, srv.Conns(), 1, "the room was not left")

	cancel()
	require.NoError(t, <-ended)
	over, err := f.ended(t.Context(), session)
	require.NoError(t, err)
	assert.True(t, over)
}

// A session has ended when none of its keys is there, wherever the last one was.
func TestEnded(t *testing.T) {
	f := openWithThreeLeases(t, 3*time.Second)
	for i := range f.leases {
		k := newLeaseKey(f, i, "s")
		over, err := f.ended(t.Context(), "s")
		require.NoError(t, err)
		assert.True(t, over)
		require.NoError(t, k.renew(t.Context(), []byte("{}")))
		over, err = f.ended(t.Context(), "s")
		require.NoError(t, err)
		assert.False(t, over)
		require.NoError(t, k.forget(t.Context()))
	}
	require.NoError(t, f.js.DeleteStream(t.Context(), "KV_"+f.leases[2].Bucket()))
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	over, err := f.ended(short, "s")
	assert.Error(t, err, "it cannot be known")
	assert.False(t, over)
}

// A key that is gone before its time means that NATS has not kept its word.
func TestAKeyThatIsGoneBeforeItsTime(t *testing.T) {
	f := openWithThreeLeases(t, 3*time.Second)
	k := newLeaseKey(f, 0, "s")
	began := time.Now()
	require.NoError(t, k.renew(t.Context(), []byte("{}")))
	require.NoError(t, k.forget(t.Context()))
	require.NoError(t, k.renew(t.Context(), []byte("{}")), "its clock does not count yet: it is written again")
	k.clock.renewed(began)
	require.NoError(t, k.forget(t.Context()))
	require.ErrorIs(t, k.renew(t.Context(), []byte("{}")), errKeyLost)
}

// The session lives on by its other keys, and writes the lost one again. Without any key it ends.
func TestALostKeyLosesThatKeyOnly(t *testing.T) {
	t.Parallel()
	f := openWithThreeLeases(t, 8*time.Second)
	srv := wstest.NewServer()
	defer srv.Close()
	require.NoError(t, f.Control().Add(t.Context(), Spec{ID: "r", Endpoint: srv.URL()}))
	w, err := f.NewWorker(func(_ context.Context, r *Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint, wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness())
	}, WithWorkerName("w"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	soon := func(what string, done func() bool) {
		t.Helper()
		require.Eventually(t, done, 30*time.Second, 10*time.Millisecond, what)
	}
	soon("it holds the room", func() bool { return w.Stats().Open == 1 })
	session := w.Stats().Session
	all := func() bool { return there(t, f, 0, session) && there(t, f, 1, session) && there(t, f, 2, session) }
	lose := func(buckets ...int) {
		for _, i := range buckets {
			require.NoError(t, f.leases[i].Purge(t.Context(), session))
		}
	}
	for _, lost := range [][]int{{0}, {1}, {2, 0}} {
		soon("all keys are there", all)
		lose(lost...)
		soon("all keys are there again", all)
	}
	assert.Equal(t, session, w.Stats().Session)
	assert.Len(t, srv.Conns(), 1, "the room was not left")

	lose(0, 1, 2)
	soon("it has another session", func() bool { return w.Stats().Session != session && w.Stats().Session != "" })
	cancel()
	require.NoError(t, <-ended)
}

// there reports whether a session has its key in a bucket.
func there(t *testing.T, f *Fleet, bucket int, session string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, live, err := f.readLease(ctx, bucket, session)
	return live && err == nil
}

// openWithThreeLeases opens a fleet that has as many buckets of leases as one with three replicas.
func openWithThreeLeases(t *testing.T, lease time.Duration) *Fleet {
	t.Helper()
	cfg, err := newConfig([]Option{WithLease(lease)})
	require.NoError(t, err)
	f := &Fleet{name: cfg.name, cfg: &cfg, log: cfg.logger}
	require.NoError(t, f.connect(t.Context()))
	t.Cleanup(f.Close)
	require.NoError(t, f.make(t.Context()))
	three := f.settled
	three.LeasedBy = 3
	value, err := json.Marshal(three)
	require.NoError(t, err)
	_, err = f.rooms.Put(t.Context(), settledKey, value)
	require.NoError(t, err)
	require.NoError(t, f.make(t.Context()))
	require.Len(t, f.leases, 3)
	return f
}
