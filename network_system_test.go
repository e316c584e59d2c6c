package wechatws

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// fakeHints are hints in the test's hand.
type fakeHints struct {
	hints chan struct{}
	done  chan struct{}
	once  sync.Once
}

func (f *fakeHints) wait(d time.Duration) (bool, error) {
	var timeout <-chan time.Time
	if d > 0 {
		timeout = time.After(d)
	}
	select {
	case <-f.hints:
		return true, nil
	case <-timeout:
		return false, nil
	case <-f.done:
		return false, net.ErrClosed
	}
}

func (f *fakeHints) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// fakeSystem is a machine's network in the test's hand.
type fakeSystem struct {
	sharedMonitor
	mu     sync.Mutex
	state  networkState
	opened int
	last   *fakeHints
}

func newFakeSystem() *fakeSystem {
	s := &fakeSystem{}
	s.sharedMonitor.read = func() networkState {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.state
	}
	s.sharedMonitor.open = func() networkHints {
		s.opened++
		s.last = &fakeHints{hints: make(chan struct{}), done: make(chan struct{})}
		return s.last
	}
	return s
}

func (s *fakeSystem) set(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = networkState{NetworkStatus{Connected: digest != ""}, digest}
}

func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestNetworkChangesAreDebounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSystem()
		start := time.Now()
		var at []time.Duration
		stop := s.Watch(func(NetworkStatus) { at = append(at, time.Since(start)) })

		s.set("a")
		for range 10 { // one change is a burst of events
			s.last.hints <- struct{}{}
			time.Sleep(20 * time.Millisecond)
		}
		settle()
		assert.Equal(t, []time.Duration{280 * time.Millisecond}, at, "100 ms after the last")

		s.last.hints <- struct{}{}
		settle()
		assert.Len(t, at, 1, "nothing has changed")

		s.set("b")
		began := time.Since(start)
		for range 100 { // events that do not end
			s.last.hints <- struct{}{}
			time.Sleep(20 * time.Millisecond)
		}
		synctest.Wait()
		assert.Equal(t, began+500*time.Millisecond, at[1])
		stop()
		stop()
	})
}

func TestWatchersShareOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSystem()
		var seen [3]int
		var stops [3]func()
		for i := range seen {
			stops[i] = s.Watch(func(status NetworkStatus) {
				assert.True(t, status.Connected)
				seen[i]++
			})
		}
		change := func(digest string) {
			s.set(digest)
			s.last.hints <- struct{}{}
			settle()
		}
		change("a")
		stops[0]()
		change("b")
		stops[1]()
		stops[2]() // the goroutine ends here, or the test does not
		assert.Equal(t, [3]int{1, 2, 2}, seen)
		assert.Equal(t, 1, s.opened)

		stop := s.Watch(func(NetworkStatus) { seen[0]++ })
		change("c")
		assert.Equal(t, 2, seen[0])
		assert.Equal(t, 2, s.opened, "opened anew")
		stop()
	})
}

func TestPolledHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolledHints()
		start := time.Now()
		hint, err := p.wait(0)
		assert.True(t, hint)
		assert.NoError(t, err)
		assert.Equal(t, pollEvery, time.Since(start))
		hint, err = p.wait(quietFor)
		assert.False(t, hint)
		assert.NoError(t, err)
		time.AfterFunc(time.Second, func() { p.Close(); p.Close() })
		_, err = p.wait(0)
		assert.ErrorIs(t, err, net.ErrClosed)
		assert.Equal(t, pollEvery+quietFor+time.Second, time.Since(start))
	})
}

func TestSystemNetwork(t *testing.T) {
	stop := SystemNetwork().Watch(func(NetworkStatus) {})
	defer stop()
	status := SystemNetwork().Status()
	assert.Equal(t, !status.Connected, status.Type == NetworkNone)
}
