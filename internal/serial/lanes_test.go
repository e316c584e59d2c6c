package serial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newLanes(most int) *Queue {
	q := newQueue()
	q.Parallel(most)
	return q
}

// keyed is do for an item with a key.
func keyed(key string, fn func()) *job {
	j := do(fn)
	j.SetKey(key)
	return j
}

// Whatever the durations are, items with one key run in order and one at a time, no more than the
// bound run at a time, and an item without a key runs alone, between those before and those behind it.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, keys, items = 7, 50, 2000
		q := newLanes(most)
		var running, highest, done, before atomic.Int32
		var last [keys]atomic.Int32
		for n := range int32(items) {
			if rand.IntN(20) == 0 {
				q.Add(do(func() {
					assert.Zero(t, running.Load())
					assert.Equal(t, n, done.Load(), "all before it have run, and none behind it")
					before.Store(n)
					time.Sleep(time.Second)
					done.Add(1)
				}))
				continue
			}
			key, d := rand.IntN(keys), time.Duration(rand.IntN(1000))*time.Millisecond
			j := &job{fn: func(number int64) {
				now := running.Add(1)
				highest.Store(max(highest.Load(), now))
				assert.LessOrEqual(t, now, int32(most))
				assert.GreaterOrEqual(t, n, before.Load())
				assert.EqualValues(t, n+1, number)
				assert.True(t, q.IsRunning(number))
				assert.Less(t, last[key].Swap(n+1), n+1, "in order")
				time.Sleep(d)
				assert.Equal(t, n+1, last[key].Load(), "one at a time")
				running.Add(-1)
				done.Add(1)
			}}
			j.SetKey(fmt.Sprint(key))
			q.Add(j)
		}
		require.NoError(t, q.Wait(t.Context(), items))
		assert.EqualValues(t, items, done.Load())
		assert.EqualValues(t, most, highest.Load())
		assert.False(t, q.IsRunning(items))
		synctest.Wait()
		assert.True(t, q.IsIdle())
		assert.Empty(t, q.byKey)
		assert.Nil(t, q.ready)
		assert.Nil(t, q.first)
	})
}

// A key whose item blocks holds only its own items.
func TestABlockedKeyHoldsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLanes(2)
		release := make(chan struct{})
		var ran atomic.Int32
		q.Add(keyed("blocked", func() { <-release }))
		q.Add(keyed("blocked", func() { ran.Add(1000) }))
		for n := range 100 {
			q.Add(keyed(fmt.Sprint(n), func() { ran.Add(1) }))
		}
		synctest.Wait()
		assert.EqualValues(t, 100, ran.Load())
		assert.False(t, q.IsIdle())
		close(release)
		synctest.Wait()
		assert.EqualValues(t, 1100, ran.Load())
		assert.True(t, q.IsIdle())
	})
}

// No key waits for ever because of one with many items.
func TestKeysTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLanes(1)
		for range 100 {
			q.Add(keyed("busy", func() { time.Sleep(time.Second) }))
		}
		began := time.Now()
		took := time.Duration(0)
		q.Add(keyed("other", func() { took = time.Since(began) }))
		require.NoError(t, q.Wait(t.Context(), q.Added()))
		assert.Equal(t, time.Second, took)
	})
}

// An item in a lane that calls runtime.Goexit is run again, and what is behind it follows.
func TestGoexitInALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLanes(2)
		item := &steps{exits: 3}
		item.SetKey("a")
		q.Add(item)
		behind, alone := false, false
		q.Add(keyed("a", func() { behind = true; runtime.Goexit() }))
		q.Add(do(func() { alone = behind; runtime.Goexit() }))
		synctest.Wait()
		assert.Equal(t, []int64{1, 1, 1, 1}, item.numbers)
		assert.True(t, alone)
		assert.True(t, q.IsIdle())
	})
}

// Wait does not wait for items that are exempted, nor for those that cannot run before these have; it
// does for all others.
func TestExemptedItemsInLanes(t *testing.T) {
	for _, most := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newLanes(most)
				release := make(chan struct{})
				var others atomic.Int32
				waits := func(number int64) {
					defer q.Exempt(number)()
					<-release
				}
				for _, key := range []string{"a", "b"} {
					j := &job{fn: waits}
					j.SetKey(key)
					q.Add(j)
					q.Add(keyed(key, func() {}))
				}
				q.Add(keyed("c", func() { time.Sleep(time.Second); others.Add(1) }))
				q.Add(keyed("c", func() { time.Sleep(time.Second); others.Add(1) }))
				q.Add(do(func() {}))
				q.Add(keyed("d", func() {}))
				began := time.Now()
				require.NoError(t, q.Wait(t.Context(), q.Added()))
				want := map[int]time.Duration{3: 2 * time.Second}[most] // otherwise they cannot run
				assert.Equal(t, want, time.Since(began))
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				close(release)
				synctest.Wait()
				require.NoError(t, q.Wait(ctx, q.Added()))
				assert.EqualValues(t, 2, others.Load())
				synctest.Wait()
				assert.True(t, q.IsIdle())
			})
		})
	}
}

// An exemption ends with its item also in a lane.
func TestAnExemptionEndsInALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLanes(2)
		j := &job{fn: func(number int64) { q.Exempt(number) }} // never ended
		j.SetKey("a")
		q.Add(j)
		q.Add(keyed("a", func() { time.Sleep(time.Second) }))
		synctest.Wait()
		began := time.Now()
		require.NoError(t, q.Wait(t.Context(), q.Added()))
		assert.Equal(t, time.Second, time.Since(began))
	})
}

// Wait waits for the items up to its number, and no others.
func TestWaitInLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLanes(2)
		q.Add(keyed("slow", func() { time.Sleep(10 * time.Second) }))
		q.Add(keyed("fast", func() { time.Sleep(time.Second) }))
		q.Add(keyed("fast", func() { time.Sleep(time.Second) }))
		q.Add(keyed("fast", func() { time.Sleep(time.Hour) }))
		began := time.Now()
		require.NoError(t, q.Wait(t.Context(), 3), "two of three have run after a second")
		assert.Equal(t, 10*time.Second, time.Since(began))
		assert.False(t, q.IsRunning(3))
		assert.True(t, q.IsRunning(4))
		require.NoError(t, q.Wait(t.Context(), 4))
	})
}

// The bounds hold as with one lane.
func TestPutWithLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newLanes(3), &source{}
		step := make(chan struct{})
		var put atomic.Int32
		go func() {
			for n := range 3 * maxCount {
				q.Put(keyed(fmt.Sprint(n%5), func() { <-step; q.Done(1, 10) }), 1, 10, s)
				put.Add(1)
			}
		}()
		synctest.Wait()
		assert.EqualValues(t, maxCount, put.Load())
		assert.True(t, q.IsFull())
		for range maxCount / 2 {
			step <- struct{}{}
		}
		synctest.Wait()
		assert.EqualValues(t, maxCount+maxCount/2, put.Load())
		close(step)
		synctest.Wait()
		now, most := q.Count()
		assert.Equal(t, []int{0, maxCount}, []int{now, most})
		assert.True(t, q.IsIdle())
		assert.EqualValues(t, s.stalls.Load(), s.resumes.Load())
	})
}
