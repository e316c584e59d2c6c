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

	mu      sync.Mutex    // also held while reading, so that readings are in order
	current *networkWatch // nil while nobody watches
}

// A networkWatch is the time from a first Watch to the last stop. A later Watch
// begins another one, which shares nothing with it.
type networkWatch struct {
	events networkEvents
	ended  chan struct{} // closed when the goroutine has ended

	// Guarded by sharedNetwork.mu.
	watchers []*networkWatcher
	calling  bool         // a watcher's function is running
	last     networkState // what the watchers know
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
		// The caller is ahead of the watchers. Should the network be back to what
		// they know by the next look, they must be told all the same, or the caller
		// would go on believing this.
		w.last = networkState{}
	}
	return state.status
}

func (n *sharedNetwork) Watch(fn func(NetworkStatus)) (stop func()) {
	watcher := &networkWatcher{fn}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == nil {
		// Read here and not in the goroutine: a change right after Watch returned
		// must be one against this.
		n.current = &networkWatch{events: n.open(), ended: make(chan struct{}), last: n.read()}
		go n.run(n.current)
	}
	w := n.current
	w.watchers = append(w.watchers, watcher)
	return func() { n.stop(w, watcher) }
}

// stop takes the watcher off, and ends the goroutine with the last one. It waits
// for the goroutine unless that is in a watcher's function: that may be the
// caller itself, or wait for a lock that the caller holds.
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

// run is the goroutine of a watch. An event only says when to look; what has
// happened is always read.
func (n *sharedNetwork) run(w *networkWatch) {
	defer close(w.ended)
	var again time.Time // when to look without any event; zero: not at all
	for w.events.wait(again) != networkClosed && settleNetwork(w.events) {
		again = n.look(w)
	}
}

// look tells the watchers if anything has changed, and returns when to look again
// in any case: a reading that failed hides what the event was about.
func (n *sharedNetwork) look(w *networkWatch) (again time.Time) {
	n.mu.Lock()
	state := n.read()
	var tell []*networkWatcher
	if state.digest != w.last.digest {
		tell = slices.Clone(w.watchers)
	}
	w.last = state
	n.mu.Unlock()
	for _, watcher := range tell {
		n.call(w, watcher, state.status)
	}
	if state.unreadable {
		again = time.Now().Add(networkPollEvery)
	}
	return again
}

// call calls a watcher's function, unless it has been stopped meanwhile.
func (n *sharedNetwork) call(w *networkWatch, watcher *networkWatcher, status NetworkStatus) {
	n.mu.Lock()
	w.calling = slices.Contains(w.watchers, watcher)
	calling := w.calling
	n.mu.Unlock()
	if !calling {
		return
	}
	if err := apart(func() error { watcher.fn(status); return nil }); err != nil {
		// There is no client to report it to, and all clients depend on this goroutine.
		slog.Error("wechatws: panic in a function that watches the network", "err", err)
	}
	n.mu.Lock()
	w.calling = false
	n.mu.Unlock()
}
