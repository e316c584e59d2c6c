package netmon

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Monitor reads the network and reports its changes. All its watchers share one goroutine and
// one source of events, which exist only while there are watchers.
type Monitor struct {
	read func() state
	open func() events

	mu       sync.Mutex // guards the fields below; held while reading, so that readings are in order
	watchers []*watcher
	watch    *watch // nil while there are no watchers
	last     state  // the state that the watchers were called with last
}

// A watcher is one call of Watch. Functions cannot be compared; pointers can.
type watcher struct {
	fn func(Status)
}

// A watch is the period from a first watcher to the removal of the last one. The next watcher
// begins another one, also while the goroutine of this one is in a watcher's function.
type watch struct {
	events  events
	ended   chan struct{} // closed when the goroutine has ended
	calling atomic.Bool   // a watcher's function is running
}

// Status reads the network. It may take a few milliseconds, and does not block otherwise.
func (m *Monitor) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.read()
	if s.digest != m.last.digest {
		// The caller has a newer state than the watchers. If the network has returned to the
		// old one by the next reading, the watchers are called all the same: otherwise the
		// caller would keep this state.
		m.last = state{}
	}
	return s.status
}

// Watch calls fn after each change until stop is called, one call at a time. Changes that come
// close together are one, and none if they undo each other. fn runs on the goroutine that all
// watchers share: it must not block, panic or call runtime.Goexit. It may call the methods of the
// Monitor, and stop.
//
// After stop has returned, no further call of fn begins. stop does not wait for a call under way,
// so it may be called while holding a lock that fn takes. It may be called more than once.
func (m *Monitor) Watch(fn func(Status)) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watch == nil {
		m.watch = &watch{events: m.open(), ended: make(chan struct{})}
		// Read here and not in the goroutine: a change right after Watch has returned must
		// differ from this state.
		m.last = m.read()
		go m.run(m.watch)
	}
	w, r := m.watch, &watcher{fn}
	m.watchers = append(m.watchers, r)
	return func() { m.stop(w, r) }
}

// stop removes a watcher, and ends the watch with the last one. It waits for the goroutine unless
// a watcher's function is running: the function may be the caller itself, or wait for a lock that
// the caller holds.
func (m *Monitor) stop(w *watch, r *watcher) {
	m.mu.Lock()
	i := slices.Index(m.watchers, r)
	if i < 0 {
		m.mu.Unlock()
		return
	}
	m.watchers = slices.Delete(m.watchers, i, i+1)
	last, calling := len(m.watchers) == 0, w.calling.Load()
	if last {
		m.watch = nil
		w.events.close()
	}
	m.mu.Unlock()
	if last && !calling {
		<-w.ended
	}
}

// run is the goroutine of a watch. An event only causes a reading; its content is not used.
func (m *Monitor) run(w *watch) {
	defer close(w.ended)
	var again time.Time // when to read without an event; zero: never
	for w.events.wait(again) != closed && settle(w.events) {
		again = m.look(w)
	}
}

// look reads the network and calls the watchers if it has changed. It returns when to read
// again without an event, which is necessary after a reading that failed.
func (m *Monitor) look(w *watch) (again time.Time) {
	m.mu.Lock()
	if m.watch != w { // it has ended
		m.mu.Unlock()
		return again
	}
	s := m.read()
	var watchers []*watcher
	if s.digest != m.last.digest {
		watchers = slices.Clone(m.watchers)
	}
	m.last = s
	m.mu.Unlock()
	for _, r := range watchers {
		m.call(w, r, s.status)
	}
	if s.unreadable {
		again = time.Now().Add(pollEvery)
	}
	return again
}

// call calls the function of a watcher that has not been removed meanwhile.
func (m *Monitor) call(w *watch, r *watcher, status Status) {
	m.mu.Lock()
	w.calling.Store(slices.Contains(m.watchers, r)) // under the mutex, so that stop sees it
	m.mu.Unlock()
	if w.calling.Load() {
		r.fn(status)
		w.calling.Store(false)
	}
}
