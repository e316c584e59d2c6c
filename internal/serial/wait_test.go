package serial

import (
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// A hookedSource is a Source with functions for its methods.
type hookedSource struct {
	source
	stall, over func()
}

func (s *hookedSource) Stall() { s.stall() }

func (s *hookedSource) Over() bool {
	s.over()
	return false
}

// A queue is full when Stall is called, also if there is room again by then: what must not wait for
// a producer that waits may not begin now.
func TestAQueueIsFullInStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		s := &hookedSource{over: func() {}}
		s.stall = func() {
			q.Done(maxCount, 0)
			assert.True(t, q.IsFull())
		}
		q.Put(do(func() {}), maxCount, 0, s)
		q.Put(do(func() {}), 1, 0, s)
		assert.False(t, q.IsFull())
	})
}

// Room that is made while the producer checks whether it must wait ends the wait.
func TestRoomWhileTheProducerChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, checks := newQueue(), 0
		release := make(chan struct{})
		defer close(release)
		s := &hookedSource{stall: func() {}}
		s.over = func() {
			if checks++; checks > 1 {
				return
			}
			go q.Done(maxCount, 1)
			for q.bytes.Load() > 0 {
				runtime.Gosched()
			}
			for range 1000 { // Done goes on until it waits for the mutex
				runtime.Gosched()
			}
		}
		q.Put(do(func() { <-release }), maxCount, 1, s)
		q.Put(do(func() {}), 1, 0, s)
		assert.Equal(t, 1, checks)
	})
}
