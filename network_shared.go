package wechatws

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A sharedNetwork is a NetworkMonitor whose watchers share one goroutine and one
// source of events.
type sharedNetwork struct {
	read func() networkState
	open func() networkEvents

	mu      sync.Mutex    // guards current and the networkWatches; held while reading, so that readings are in order
	current *networkWatch // nil while there are no watchers
}

// A networkWatch is the period from a first Watch to the last stop. A later Watch begins
// another one, which shares nothing with it.
type networkWatch struct {
	events networkEvents
	ended  chan struct{} // closed when the goroutine has ended

	// Guarded by sharedNetwork.mu.
	watchers []*networkWatcher
	calling  bool         // a watcher's function is running
	last     networkState // the state that the watchers were called with last
}

// A networkWatcher is one call of Watch. Functions cannot be compared; pointers can.
type networkWatcher struct {
	fn func(NetworkStatus)
}

func (n *sharedNetwork) Status() NetworkStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	state := n.read()
	if w := n.current; w != nil && state.digest != w.last.digest {
		// The caller has a newer state than the watchers. If the network has returned to
		// the old one by the next reading, the watchers are called all the same: otherwise
		// the caller would keep this state.
		w.last = networkState{}
	}
	return state.status
}

func (n *sharedNetwork) Watch(fn func(NetworkStatus)) (stop func()) {
	watcher := &networkWatcher{fn}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == nil {
		// Read here and not in the goroutine: a change right after Watch has returned must
		// differ from this state.
		n.current = &networkWatch{events: n.open(), ended: make(chan struct{}), last: n.read()}
		go n.run(n.current)
	}
	w := n.current
	w.watchers = append(w.watchers, watcher)
	return func() { n.stop(w, watcher) }
}

// stop removes the watcher, and ends the goroutine with the last one. It waits for the
// goroutine unless a watcher's function is running: the function may be the caller itself, or
// wait for a lock that the caller holds.
func (n *sharedNetwork) stop(w *networkWatch, watcher *networkWatcher) {
	n.mu.Lock()
	i := slices.Index(w.watchers, watcher)
	if i < 0 {
		n.mu.Unlock()
		return
	}
	w.watchers = slices.Delete(w.watchers, i, i+1)
	last, calling := len(w.watchers) == 0, w.calling
	if last {
		n.current = nil
		w.events.close()
	}
	n.mu.Unlock()
	if last && !calling {
		<-w.ended
	}
}

// run is the goroutine of a watch. An event only causes a reading; its content is not used.
func (n *sharedNetwork) run(w *networkWatch) {
	defer close(w.ended)
	var again time.Time // when to read without an event; zero: never
	for w.events.wait(again) != networkClosed && settleNetwork(w.events) {
		again = n.look(w)
	}
}

// look reads the network and calls the watchers if it has changed. It returns when to read
// again without an event, which is necessary after a reading that failed.
func (n *sharedNetwork) look(w *networkWatch) (again time.Time) {
	n.mu.Lock()
	state := n.read()
	var watchers []*networkWatcher
	if state.digest != w.last.digest {
		watchers = slices.Clone(w.watchers)
	}
	w.last = state
	n.mu.Unlock()
	for _, watcher := range watchers {
		n.call(w, watcher, state.status)
	}
	if state.unreadable {
		again = time.Now().Add(networkPollEvery)
	}
	return again
}

// call calls a watcher's function unless the watcher has been removed.
func (n *sharedNetwork) call(w *networkWatch, watcher *networkWatcher, status NetworkStatus) {
	n.mu.Lock()
	w.calling = slices.Contains(w.watchers, watcher)
	calling := w.calling
	n.mu.Unlock()
	if !calling {
		return
	}
	if err := apart(func() error { watcher.fn(status); return nil }); err != nil {
		// No client can report it, and all clients depend on this goroutine.
		slog.Error("wechatws: panic in a function that watches the network", "err", err)
	}
	n.mu.Lock()
	w.calling = false
	n.mu.Unlock()
}
