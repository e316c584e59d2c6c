package netmon

import (
	"flag"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // most tests only wait, for a process in a network namespace; -parallel still counts
	goleak.VerifyTestMain(m)
}

// A fakeSystem is a network that the test controls, under a Monitor.
type fakeSystem struct {
	monitor *Monitor
	start   time.Time
	opened  []*fakeEvents

	mu    sync.Mutex
	state state
	reads int
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, f *fakeSystem)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSystem{start: time.Now(), state: fakeState("home")}
		f.monitor = &Monitor{read: f.read, open: f.open}
		test(t, f)
	})
}

func fakeState(digest string) state {
	return state{status: Status{Connected: true, Type: digest}, digest: digest}
}

func (f *fakeSystem) read() state {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	return f.state
}

// count returns how often the network has been read.
func (f *fakeSystem) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

func (f *fakeSystem) open() events {
	e := &fakeEvents{touched: make(chan struct{}, 1), closed: make(chan struct{})}
	f.opened = append(f.opened, e)
	return e
}

// set changes the network without an event.
func (f *fakeSystem) set(state state) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = state
}

// change changes the network with an event.
func (f *fakeSystem) change(state state) {
	f.set(state)
	f.event()
}

func (f *fakeSystem) event() {
	select {
	case f.opened[len(f.opened)-1].touched <- struct{}{}:
	default:
	}
}

// watch adds a watcher, and returns its calls in virtual time.
func (f *fakeSystem) watch() (reports func() []report, stop func()) {
	var mu sync.Mutex
	var all []report
	stop = f.monitor.Watch(func(s Status) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, report{s.Type, time.Since(f.start)})
	})
	return func() []report {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}, stop
}

// A report is a call of a watcher.
type report struct {
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

func (e *fakeEvents) wait(until time.Time) event {
	var expired <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-e.touched:
		return touched
	case <-expired:
		return quiet
	case <-e.closed:
		return closed
	}
}

func TestManyEventsAreOneChange(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		passTime(time.Hour)
		for range 10 {
			f.change(fakeState("office"))
			passTime(40 * time.Millisecond)
		}
		passTime(time.Hour)
		assert.Equal(t, []report{{"office", time.Hour + 460*time.Millisecond}}, reported(), "100 ms after the last event")
	})
}

func TestEventsWithoutEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		f.change(fakeState("office"))
		for range 100 {
			passTime(30 * time.Millisecond)
			f.event()
		}
		assert.Equal(t, []report{{"office", 500 * time.Millisecond}}, reported())
		assert.Less(t, f.count(), 10, "two readings a second")
	})
}

func TestEventWithoutChange(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		f.event()
		passTime(time.Hour)
		assert.Empty(t, reported())
	})
}

func TestChangeRightAfterWatch(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		f.change(fakeState("office")) // before the goroutine has run at all
		passTime(time.Second)
		assert.Len(t, reported(), 1)
	})
}

func TestChangeUndone(t *testing.T) {
	for _, asked := range []bool{false, true} {
		inBubble(t, func(t *testing.T, f *fakeSystem) {
			reported, stop := f.watch()
			defer stop()
			f.change(unreachable)
			passTime(50 * time.Millisecond)
			if asked {
				assert.Equal(t, unreachable.status, f.monitor.Status())
			}
			f.change(fakeState("home"))
			passTime(time.Second)
			if asked {
				assert.Equal(t, []report{{"home", 150 * time.Millisecond}}, reported(), "the caller of Status has the other state")
			} else {
				assert.Empty(t, reported())
			}
		})
	}
}

var unreachable = state{status: Status{Type: None}, digest: "none"}

func TestUnreadableIsReadAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		reported, stop := f.watch()
		defer stop()
		f.change(unreadable)
		passTime(time.Second)
		f.set(fakeState("office"))
		passTime(time.Hour)
		assert.Equal(t, []report{
			{Unknown, 100 * time.Millisecond},
			{"office", 5200 * time.Millisecond},
		}, reported())
	})
}

func TestWatchersShare(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		var reported []func() []report
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

func TestStopTwice(t *testing.T) {
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

func TestStopFromInside(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		var calls []string
		var stops [3]func()
		stopAll := func(name string) func(Status) {
			return func(Status) {
				calls = append(calls, name)
				for _, stop := range stops {
					stop()
				}
			}
		}
		stops[0] = f.monitor.Watch(stopAll("first"))
		stops[1] = f.monitor.Watch(stopAll("second"))
		stops[2] = f.monitor.Watch(stopAll("third"))
		f.change(fakeState("office"))
		passTime(time.Second)
		assert.Equal(t, []string{"first"}, calls, "the others were stopped before their turn")
		assert.Nil(t, f.monitor.watch)
	})
}

func TestWatchFromInside(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		var stop func()
		var reported func() []report
		stopFirst := f.monitor.Watch(func(Status) {
			if reported == nil {
				reported, stop = f.watch()
				assert.Equal(t, "office", f.monitor.Status().Type)
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
func TestStopAndWatchFromInside(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		var stop, stopNext func()
		var reported func() []report
		stop = f.monitor.Watch(func(Status) {
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
func TestStopDoesNotWaitForFunction(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		lock := make(chan struct{})
		finished := false
		stop := f.monitor.Watch(func(Status) {
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

func TestStopWaitsForGoroutine(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		for _, settling := range []bool{false, true} {
			_, stop := f.watch()
			w := f.monitor.watch
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

// The last watcher is removed, and another one added, between the end of the events and the
// reading that follows: that reading is not made.
func TestEndedWatchDoesNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		e := &lateEvents{fakeEvents{touched: make(chan struct{}, 1), closed: make(chan struct{})}, make(chan struct{})}
		f.monitor.open = func() events { return e }
		_, stop := f.watch()
		e.touched <- struct{}{}
		synctest.Wait() // it settles
		go stop()
		<-e.closed

		f.monitor.open = f.open
		reported, stopNext := f.watch()
		f.set(fakeState("office"))
		close(e.settled)
		synctest.Wait()
		assert.Empty(t, reported())
		f.event()
		passTime(time.Second)
		assert.Equal(t, []report{{"office", 100 * time.Millisecond}}, reported())
		stopNext()
	})
}

// lateEvents are quiet only when the test says so, also after they have been closed.
type lateEvents struct {
	fakeEvents
	settled chan struct{}
}

func (e *lateEvents) wait(until time.Time) event {
	if until.IsZero() {
		return e.fakeEvents.wait(until)
	}
	<-e.settled
	return quiet
}

// For the race detector, and in real time.
func TestWatchersComeAndGo(t *testing.T) {
	f := &fakeSystem{state: fakeState("home")}
	var opened sync.Map
	f.monitor = &Monitor{read: f.read, open: func() events {
		e := &busyEvents{closed: make(chan struct{})}
		opened.Store(e, nil)
		return e
	}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
				stop := f.monitor.Watch(func(Status) { f.monitor.Status() })
				f.set(fakeState([]string{"home", "office"}[i%2]))
				f.monitor.Status()
				stop()
				stop()
			}
		})
	}
	all.Wait()
	assert.Nil(t, f.monitor.watch)
	opened.Range(func(e, _ any) bool {
		<-e.(*busyEvents).closed
		return true
	})
}

// busyEvents always has an event, and settles at once.
type busyEvents struct{ closed chan struct{} }

func (e *busyEvents) close() { close(e.closed) }

func (e *busyEvents) wait(until time.Time) event {
	select {
	case <-e.closed:
		return closed
	default:
	}
	if until.IsZero() {
		return touched
	}
	return quiet
}
