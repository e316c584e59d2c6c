package wechatws

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A fakeSystem is a network that the test controls, under a sharedNetwork.
type fakeSystem struct {
	network *sharedNetwork
	start   time.Time
	opened  []*fakeEvents

	mu    sync.Mutex
	state networkState
	reads int
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, f *fakeSystem)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSystem{start: time.Now(), state: fakeState("home")}
		f.network = &sharedNetwork{read: f.read, open: f.open}
		test(t, f)
	})
}

func fakeState(digest string) networkState {
	return networkState{status: NetworkStatus{Connected: true, Type: string(digest)}, digest: digest}
}

func (f *fakeSystem) read() networkState {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	return f.state
}

// looks returns how often the network has been read.
func (f *fakeSystem) looks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

func (f *fakeSystem) open() networkEvents {
	e := &fakeEvents{touched: make(chan struct{}, 1), closed: make(chan struct{})}
	f.opened = append(f.opened, e)
	return e
}

// set changes the network without an event.
func (f *fakeSystem) set(state networkState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = state
}

// change changes the network with an event.
func (f *fakeSystem) change(state networkState) {
	f.set(state)
	f.event()
}

func (f *fakeSystem) event() {
	select {
	case f.opened[len(f.opened)-1].touched <- struct{}{}:
	default:
	}
}

// watch returns what a watcher is called with, and the virtual time of the calls.
func (f *fakeSystem) watch() (reported func() []reportedNetwork, stop func()) {
	var mu sync.Mutex
	var all []reportedNetwork
	stop = f.network.Watch(func(s NetworkStatus) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, reportedNetwork{s.Type, time.Since(f.start)})
	})
	return func() []reportedNetwork {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}, stop
}

type reportedNetwork struct {
	network string
	at      time.Duration
}

// passTime advances virtual time, and waits until everything that is due has happened.
func passTime(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// fakeEvents holds one event at most, since several cause one reading.
type fakeEvents struct {
	touched chan struct{}
	closed  chan struct{}
}

func (e *fakeEvents) close() { close(e.closed) }

func (e *fakeEvents) wait(until time.Time) networkEvent {
	var expired <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-e.touched:
		return networkTouched
	case <-expired:
		return networkQuiet
	case <-e.closed:
		return networkClosed
	}
}

func TestNetworkManyEventsAreOneChange(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		passTime(time.Hour)
		for range 10 {
			f.change(fakeState("office"))
			passTime(40 * time.Millisecond)
		}
		passTime(time.Hour)
		assert.Equal(t, []reportedNetwork{{"office", time.Hour + 460*time.Millisecond}}, reported(), "100 ms after the last event")
	})
}

func TestNetworkEventsWithoutEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		f.change(fakeState("office"))
		for range 100 {
			passTime(30 * time.Millisecond)
			f.event()
		}
		assert.Equal(t, []reportedNetwork{{"office", 500 * time.Millisecond}}, reported())
		assert.Less(t, f.looks(), 10, "two looks a second")
	})
}

func TestNetworkEventWithoutChange(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		f.event()
		passTime(time.Hour)
		assert.Empty(t, reported())
	})
}

func TestNetworkChangeRightAfterWatch(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		f.change(fakeState("office")) // before the goroutine has run at all
		passTime(time.Second)
		assert.Len(t, reported(), 1)
	})
}

func TestNetworkChangeUndone(t *testing.T) {
	for _, asked := range []bool{false, true} {
		inBubble(t, func(t *testing.T, f *fakeSystem) {
			reported, stop := f.watch()
			defer stop()
			f.change(unreachable)
			passTime(50 * time.Millisecond)
			if asked {
				assert.Equal(t, unreachable.status, f.network.Status())
			}
			f.change(fakeState("home"))
			passTime(time.Second)
			if asked {
				assert.Equal(t, []reportedNetwork{{"home", 150 * time.Millisecond}}, reported(), "the caller of Status has the other state")
			} else {
				assert.Empty(t, reported())
			}
		})
	}
}

var unreachable = networkState{status: NetworkStatus{Type: networkNone}, digest: "none"}

func TestNetworkUnreadableIsReadAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		f.change(unreadableNetwork)
		passTime(time.Second)
		f.set(fakeState("office"))
		passTime(time.Hour)
		assert.Equal(t, []reportedNetwork{
			{networkUnknown, 100 * time.Millisecond},
			{"office", 5200 * time.Millisecond},
		}, reported())
	})
}

func TestNetworkWatchersShare(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		var reported []func() []reportedNetwork
		var stops []func()
		for range 100 {
			seen, stop := f.watch()
			reported, stops = append(reported, seen), append(stops, stop)
		}
		assert.Len(t, f.opened, 1, "one source, and one goroutine on it")
		f.change(fakeState("office"))
		passTime(time.Second)
		for _, seen := range reported {
			assert.Len(t, seen(), 1)
		}
		for _, stop := range stops[1:] {
			stop()
		}
		f.change(fakeState("home"))
		passTime(time.Second)
		assert.Len(t, reported[0](), 2, "the last one still watches")
		assert.Len(t, reported[99](), 1)
		stops[0]()
		<-f.opened[0].closed

		seen, stop := f.watch()
		assert.Len(t, f.opened, 2)
		f.change(fakeState("office"))
		passTime(time.Second)
		assert.Len(t, seen(), 1)
		assert.Len(t, reported[0](), 2)
		stop()
	})
}

func TestNetworkStopTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		_, stopFirst := f.watch()
		stopFirst()
		reported, stop := f.watch()
		stopFirst()
		f.change(fakeState("office"))
		passTime(time.Second)
		assert.Len(t, reported(), 1, "it stops its own watch only")
		stop()
		stop()
	})
}

func TestNetworkStopFromInside(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		var calls []string
		var stops [3]func()
		stopAll := func(who string) func(NetworkStatus) {
			return func(NetworkStatus) {
				calls = append(calls, who)
				for _, stop := range stops {
					stop()
				}
			}
		}
		stops[0] = f.network.Watch(stopAll("first"))
		stops[1] = f.network.Watch(stopAll("second"))
		stops[2] = f.network.Watch(stopAll("third"))
		f.change(fakeState("office"))
		passTime(time.Second)
		assert.Equal(t, []string{"first"}, calls, "the others were stopped before their turn")
		assert.Nil(t, f.network.current)
	})
}

func TestNetworkWatchFromInside(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		var stop func()
		var reported func() []reportedNetwork
		stopFirst := f.network.Watch(func(NetworkStatus) {
			if reported == nil {
				reported, stop = f.watch()
				assert.Equal(t, string("office"), f.network.Status().Type)
			}
		})
		f.change(fakeState("office"))
		passTime(time.Second)
		assert.Empty(t, reported(), "it came after that change")
		f.change(fakeState("home"))
		passTime(time.Second)
		assert.Len(t, reported(), 1)
		stopFirst()
		stop()
	})
}

// Inside fn the last watcher stops and another one begins: two watches overlap.
func TestNetworkStopAndWatchFromInside(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		var stop, stopNext func()
		var reported func() []reportedNetwork
		stop = f.network.Watch(func(NetworkStatus) {
			stop()
			reported, stopNext = f.watch()
		})
		f.change(fakeState("office"))
		passTime(time.Second)
		assert.Len(t, f.opened, 2)
		f.change(fakeState("home"))
		passTime(time.Second)
		assert.Len(t, reported(), 1)
		stopNext()
	})
}

// fn waits for a lock that the caller of stop holds.
func TestNetworkStopDoesNotWaitForFunction(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		lock := make(chan struct{})
		finished := false
		stop := f.network.Watch(func(NetworkStatus) {
			<-lock
			finished = true
		})
		f.change(fakeState("office"))
		passTime(time.Second)
		stop()
		assert.False(t, finished)
		close(lock)
		synctest.Wait()
		assert.True(t, finished)
	})
}

func TestNetworkStopWaitsForGoroutine(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		for _, settling := range []bool{false, true} {
			_, stop := f.watch()
			w := f.network.current
			passTime(time.Second)
			if settling {
				f.event()
				passTime(50 * time.Millisecond)
			}
			stop()
			select {
			case <-w.ended:
			default:
				assert.Fail(t, "the goroutine is still there")
			}
		}
	})
}

// For the race detector, and in real time.
func TestNetworkWatchersComeAndGo(t *testing.T) {
	f := &fakeSystem{state: fakeState("home")}
	var listeners sync.Map
	f.network = &sharedNetwork{read: f.read, open: func() networkEvents {
		e := &busyEvents{closed: make(chan struct{})}
		listeners.Store(e, nil)
		return e
	}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
				stop := f.network.Watch(func(NetworkStatus) { f.network.Status() })
				f.set(fakeState([]string{"home", "office"}[i%2]))
				f.network.Status()
				stop()
				stop()
			}
		})
	}
	all.Wait()
	assert.Nil(t, f.network.current)
	listeners.Range(func(e, _ any) bool {
		<-e.(*busyEvents).closed
		return true
	})
}

// busyEvents always has an event, and settles at once.
type busyEvents struct{ closed chan struct{} }

func (e *busyEvents) close() { close(e.closed) }

func (e *busyEvents) wait(until time.Time) networkEvent {
	select {
	case <-e.closed:
		return networkClosed
	default:
	}
	if until.IsZero() {
		return networkTouched
	}
	return networkQuiet
}
