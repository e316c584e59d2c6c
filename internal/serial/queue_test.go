package serial

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A job is an item that calls a function.
type job struct {
	Node
	fn func(number int64)
}

func (j *job) Run(number int64) {
	if fn := j.fn; fn != nil {
		j.fn = nil
		fn(number)
	}
}

func do(fn func()) *job { return &job{fn: func(int64) { fn() }} }

// A source is a Source whose methods are recorded.
type source struct {
	stalls, resumes atomic.Int32
	over            atomic.Bool
	readAll         func() error
	readOn          func()
}

func (s *source) Stall()         { s.stalls.Add(1) }
func (s *source) Resume()        { s.resumes.Add(1) }
func (s *source) Over() bool     { return s.over.Load() }
func (s *source) ReadAll() error { return s.readAll() }
func (s *source) ReadOn()        { s.readOn() }

const maxCount, maxBytes = 10, 1000

func newQueue() *Queue { return New(maxCount, maxBytes, func() {}) }

func TestItemsRunOneAtATimeAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var ran []int64
		var running atomic.Int32
		for n := range int64(100) {
			q.Add(&job{fn: func(number int64) {
				assert.Equal(t, int32(1), running.Add(1))
				assert.Equal(t, n+1, number)
				assert.True(t, q.IsRunning(number))
				ran = append(ran, n)
				time.Sleep(time.Millisecond)
				running.Add(-1)
			}})
		}
		assert.EqualValues(t, 100, q.Added())
		require.NoError(t, q.Wait(t.Context(), 100))
		require.Len(t, ran, 100)
		for n := range ran {
			assert.EqualValues(t, n, ran[n])
		}
		assert.False(t, q.IsRunning(100))
	})
}

// An idle queue has no goroutine, or the bubble would not end, and retains no item.
func TestAnIdleQueueHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := 0
		q := New(maxCount, maxBytes, func() { idle++ })
		assert.True(t, q.IsIdle())
		release := make(chan struct{})
		q.Add(do(func() { <-release }))
		q.Add(do(func() {}))
		synctest.Wait()
		assert.False(t, q.IsIdle())
		assert.Zero(t, idle)
		close(release)
		synctest.Wait()
		assert.True(t, q.IsIdle())
		assert.Equal(t, 1, idle)
		assert.Nil(t, q.running)
		assert.Nil(t, q.first)
		assert.Nil(t, q.last)
	})
}

// The producer waits for half of the queue, and nothing else does.
func TestPutBlocksWhileABoundIsReached(t *testing.T) {
	for name, size := range map[string]struct{ count, bytes, each int }{
		"count": {1, 10, maxCount},
		"bytes": {1, 250, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s := newQueue(), &source{}
				step := make(chan struct{})
				var put atomic.Int32
				go func() {
					for range 3 * size.each {
						q.Put(do(func() { <-step; q.Done(size.count, size.bytes) }), size.count, size.bytes, s)
						put.Add(1)
					}
				}()
				synctest.Wait()
				assert.EqualValues(t, size.each, put.Load())
				assert.EqualValues(t, 1, s.stalls.Load())
				assert.True(t, q.IsFull())
				now, most := q.Count()
				assert.Equal(t, []int{size.each, size.each}, []int{now, most})
				q.Add(do(func() {})) // does not block
				for range size.each/2 - 1 {
					step <- struct{}{}
				}
				synctest.Wait()
				assert.EqualValues(t, size.each, put.Load(), "less than half is free")
				assert.True(t, q.IsFull())
				assert.Zero(t, s.resumes.Load())
				step <- struct{}{}
				synctest.Wait()
				assert.EqualValues(t, size.each+size.each/2, put.Load())
				assert.EqualValues(t, 1, s.resumes.Load())
				close(step)
				synctest.Wait()
				now, most = q.Count()
				assert.Equal(t, []int{0, size.each}, []int{now, most})
				assert.False(t, q.IsFull())
				assert.Equal(t, s.stalls.Load(), s.resumes.Load())
			})
		})
	}
}

// A part of an item makes room before the whole item has run.
func TestDoneInsideAnItemMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &source{}
		step := make(chan struct{})
		q.Put(do(func() {
			for range maxCount {
				<-step
				q.Done(1, 1)
			}
		}), maxCount, maxCount, s)
		put := false
		go func() { q.Put(do(func() {}), 0, 0, s); put = true }()
		for range maxCount / 2 {
			synctest.Wait()
			assert.False(t, put)
			step <- struct{}{}
		}
		synctest.Wait()
		assert.True(t, put)
		close(step)
	})
}

func TestPutGivesUpWhenTheSourceIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &source{}
		release := make(chan struct{})
		q.Put(do(func() { <-release }), maxCount, 0, s)
		put := false
		go func() { q.Put(do(func() {}), 1, 0, s); put = true }()
		synctest.Wait()
		q.Wake()
		synctest.Wait()
		assert.False(t, put)
		s.over.Store(true)
		q.Wake()
		synctest.Wait()
		assert.True(t, put, "over the bound")
		close(release)
	})
}

// An item that calls runtime.Goexit is run again, on another goroutine, and the rest follows.
func TestGoexitReplacesTheGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		item := &steps{exits: 3}
		q.Add(item)
		after := false
		q.Add(do(func() { after = true }))
		synctest.Wait()
		assert.Equal(t, []int64{1, 1, 1, 1}, item.numbers)
		assert.True(t, after)
		assert.True(t, q.IsIdle())
	})
}

// steps is an item that calls runtime.Goexit several times.
type steps struct {
	Node
	exits   int
	numbers []int64
}

func (s *steps) Run(number int64) {
	s.numbers = append(s.numbers, number)
	if s.exits > 0 {
		s.exits--
		runtime.Goexit()
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		require.NoError(t, q.Wait(t.Context(), 0))
		release := make(chan struct{})
		q.Add(do(func() { <-release }))
		upTo := q.Added()
		q.Add(do(func() { time.Sleep(time.Hour) }))
		cause := errors.New("cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- q.Wait(ctx, upTo) }()
		synctest.Wait()
		cancel(cause)
		assert.Equal(t, cause, <-ended)
		go func() { ended <- q.Wait(t.Context(), upTo) }()
		synctest.Wait()
		assert.Empty(t, ended)
		close(release)
		start := time.Now()
		assert.NoError(t, <-ended)
		assert.Zero(t, time.Since(start), "it does not wait for the item after")
		require.NoError(t, q.Wait(t.Context(), q.Added()))
		assert.NoError(t, q.Wait(ctx, upTo), "the result comes before the end of the context")
	})
}

// An item that has run may be put in again.
func TestAnItemMayBeUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		first, second := &steps{}, &steps{}
		q.Add(first)
		q.Add(second)
		synctest.Wait()
		q.Add(first)
		synctest.Wait()
		assert.Equal(t, []int64{1, 3}, first.numbers)
		assert.Equal(t, []int64{2}, second.numbers)
	})
}

func TestIsFullAtABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &source{}
		q.Put(do(func() { time.Sleep(time.Second); q.Done(maxCount, 0) }), maxCount, 0, s)
		assert.True(t, q.IsFull(), "the next Put will wait")
		assert.Zero(t, s.stalls.Load())
		time.Sleep(time.Second)
		synctest.Wait()
		assert.False(t, q.IsFull())
	})
}

// Two items of two queues wait for each other's queue.
func TestExemptedItemsAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newQueue(), newQueue()
		var both sync.WaitGroup
		both.Add(2)
		waitFor := func(own, other *Queue) *job {
			return &job{fn: func(number int64) {
				both.Done()
				both.Wait()
				defer own.Exempt(number)()
				assert.NoError(t, other.Wait(t.Context(), other.Added()))
			}}
		}
		first.Add(waitFor(first, second))
		second.Add(waitFor(second, first))
		synctest.Wait()
		assert.True(t, first.IsIdle())
		assert.True(t, second.IsIdle())
	})
}

// An exemption ends with the call that has made it, or with the item.
func TestAnExemptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var end []func()
		number := int64(0)
		q.Add(&job{fn: func(n int64) {
			number = n
			time.Sleep(time.Millisecond)
			end = append(end, q.Exempt(n), q.Exempt(n))
			time.Sleep(time.Second)
			end[0]()
			time.Sleep(time.Second)
			end[1]()
			time.Sleep(time.Second)
			q.Exempt(n) // never ended
		}})
		began := time.Now()
		require.NoError(t, q.Wait(t.Context(), 1))
		assert.Equal(t, time.Millisecond, time.Since(began), "a wait under way ends")
		time.Sleep(1500 * time.Millisecond)
		require.NoError(t, q.Wait(t.Context(), 1), "the second call is not ended")
		time.Sleep(time.Second)
		start := time.Now()
		require.NoError(t, q.Wait(t.Context(), 1))
		assert.Equal(t, 500*time.Millisecond, time.Since(start))
		q.Add(do(func() { time.Sleep(time.Second) }))
		synctest.Wait()
		start = time.Now()
		q.Exempt(number) // it has run
		require.NoError(t, q.Wait(t.Context(), 2))
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// Whatever goroutines do at the same time, every item runs once, the counts return to zero,
// and nothing waits for ever.
func TestManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &source{}
		var ran, added atomic.Int64
		var all sync.WaitGroup
		all.Go(func() {
			for range 500 {
				count, bytes := rand.IntN(4), rand.IntN(300)
				added.Add(1)
				q.Put(do(func() { ran.Add(1); q.Done(count, bytes) }), count, bytes, s)
			}
		})
		for range 4 {
			all.Go(func() {
				for range 100 {
					added.Add(1)
					q.Add(&job{fn: func(number int64) {
						ran.Add(1)
						defer q.Exempt(number)()
						if rand.IntN(10) == 0 {
							runtime.Goexit()
						}
					}})
					assert.NoError(t, q.Wait(t.Context(), q.Added()))
				}
			})
		}
		all.Wait()
		synctest.Wait()
		assert.Equal(t, added.Load(), ran.Load())
		now, _ := q.Count()
		assert.Zero(t, now)
		assert.Zero(t, q.bytes.Load())
		assert.True(t, q.IsIdle())
	})
}

// emptyItem does nothing.
type emptyItem struct{ Node }

func (*emptyItem) Run(int64) {}

func TestAnItemAllocatesNothing(t *testing.T) {
	idle := make(chan struct{})
	q, s := New(maxCount, maxBytes, func() { idle <- struct{}{} }), &source{}
	item := &emptyItem{}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		q.Put(item, 0, 0, s)
		<-idle
	}))
}
