package fleet

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A worker connects to no rooms while its renewals are late, and to some at the same time.
func TestRoomsWaitWhileRenewalsAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Fleet{settled: settled{Lease: 8 * time.Second}}
		key := newLeaseKey(f, 0, "s")
		key.clock.renewed(time.Now())
		tenure := &tenure{f: f, s: &session{f: f, keys: []*leaseKey{key}}}
		calm := func(ctx context.Context) error { return tenure.calm(ctx, 6*time.Second) }
		a := &appetite{dialing: make(chan struct{}, 2), rate: 1e6}
		first, err := a.admit(t.Context(), calm)
		require.NoError(t, err)
		defer first()

		time.Sleep(3 * time.Second) // no renewal has come
		admitted := make(chan func(), 1)
		go func() {
			done, err := a.admit(t.Context(), calm)
			assert.NoError(t, err)
			admitted <- done
		}()
		time.Sleep(time.Second)
		assert.Empty(t, admitted)
		key.clock.renewed(time.Now())
		time.Sleep(time.Second)
		require.Len(t, admitted, 1)
		(<-admitted)()

		time.Sleep(3 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = a.admit(ctx, calm)
		require.Error(t, err)
		assert.Empty(t, a.dialing, "it has left")
	})
}

// Rooms that are given up while they wait to be connected to do not delay those that come after them.
func TestRoomsThatAreGivenUpHaveNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &appetite{dialing: make(chan struct{}, 2), rate: 1}
		calm := func(ctx context.Context) error { return ctx.Err() }
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range 100 {
			waiting.Go(func() {
				if done, err := a.admit(ctx, calm); err == nil {
					done()
				}
			})
		}
		synctest.Wait()
		cancel()
		waiting.Wait()
		began := time.Now()
		for n := range 3 {
			done, err := a.admit(t.Context(), calm)
			require.NoError(t, err)
			done()
			assert.LessOrEqual(t, time.Since(began), time.Duration(n+4)*time.Second)
		}
		assert.GreaterOrEqual(t, time.Since(began), 2*time.Second, "the rate holds")
	})
}
