package simulation

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatws/wechatws"
)

// A world is one run of a schedule: everything in it, under one mutex. No function of the client
// is called while that is held.
type world struct {
	*schedule
	client *wechatws.Client
	start  time.Time

	mu      sync.Mutex
	changed *sync.Cond
	network
	behavior
	monitor

	todo    map[string][]step // what the next calls of the user's functions do
	blocked map[string]int    // calls of these that have not returned
	free    chan struct{}     // closed when they return
	// answered has the callbacks that wait for the answer to a message.
	answered     map[string]bool
	readingSince time.Time // when the client last read, or had a reason not to

	events     int
	messages   []*message
	latest     int // when the call began whose message was written last
	calls      map[*call]bool
	cuts       map[int64]bool // when the contexts of calls of Shutdown end
	handedBack map[*wechatws.UndeliveredError]bool
	unnamed    int // messages that were dropped and not named
	state      wechatws.State
	receiving  int           // the connection of the message that was received last
	numbers    map[int]*conn // by the client's number
	full       int           // how many connections there were when the inbox was not full
	ended      map[int]bool  // connections, by that number, that the user has ended
	wish       string        // why an attempt must begin; empty: none must
	wishedAt   int           // how many attempts there had been
	wishSince  time.Time
	wishGrace  time.Duration // how long it may take
	waitEnds   time.Time     // when the last wait is over
	urged      time.Time     // when something last happened that may end a wait
	opened     time.Time     // when an attempt last succeeded
	messagesIn int64         // at the last look

	costs
	over    bool
	failure string
	journal []string
}

func newWorld(sc *schedule) *world {
	w := &world{
		schedule: sc, start: time.Now(),
		todo: map[string][]step{}, blocked: map[string]int{}, free: make(chan struct{}),
		calls: map[*call]bool{}, cuts: map[int64]bool{}, handedBack: map[*wechatws.UndeliveredError]bool{},
		numbers: map[int]*conn{}, answered: map[string]bool{}, ended: map[int]bool{},
	}
	w.changed = sync.NewCond(&w.mu)
	w.connected = true
	return w
}

// note adds a line to the journal.
func (w *world) note(format string, args ...any) {
	w.journal = append(w.journal, fmt.Sprintf("%12.6fs  ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

// fail records a failure; the first one counts. It is called with mu held.
func (w *world) fail(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	w.note("FAILURE: %s", why)
	if w.failure == "" {
		w.failure = why
	}
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure != ""
}

// run runs a schedule and returns its failure, or "", and the journal.
func run(t *testing.T, sc *schedule) (failure string, journal []string) {
	var w *world
	// The garbage collector would change the order in which goroutines run.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	defer func() {
		if v := recover(); v != nil { // of synctest
			if w.failure == "" {
				w.failure = fmt.Sprintf("goroutines: %v", v)
			}
			failure, journal = w.failure, w.journal
		}
	}()
	synctest.Test(t, func(*testing.T) {
		w = newWorld(sc)
		w.live()
	})
	return w.failure, w.journal
}

// live is the life of a world.
func (w *world) live() {
	defer w.endOfWorld()
	c, err := wechatws.New("ws://server.test/", w.options()...)
	if err != nil {
		w.failure = "options: " + err.Error()
		return
	}
	w.client = c
	w.register()
	for _, s := range w.Steps {
		w.do(s)
		if s.Now {
			continue
		}
		synctest.Wait()
		if w.check(); w.failed() {
			return
		}
	}
	synctest.Wait()
	if w.check(); w.failed() {
		return
	}
	w.heal()
	if w.failed() {
		return
	}
	w.close()
}

// heal ends all faults, and checks that the client is open with an empty queue and all calls have
// returned within a bounded time.
func (w *world) heal() {
	w.mu.Lock()
	w.note("everything heals")
	w.network.upHeld, w.network.downHeld, w.rate, w.refuse, w.dialsHeld = false, false, 0, 0, false
	w.behavior = behavior{}
	clear(w.todo)
	w.release()
	w.pump()
	w.changed.Broadcast()
	w.mu.Unlock()
	w.change(true)
	w.flap()
	patience := w.patience()
	var waited time.Duration
	for step := time.Millisecond; ; step *= 2 {
		synctest.Wait()
		if w.check(); w.failed() {
			return
		}
		why := w.unwell()
		if why == "" {
			return
		}
		if waited > patience {
			w.mu.Lock()
			w.fail("healing: %v after everything is well, %s", waited, why)
			w.mu.Unlock()
			return
		}
		step = min(step, 5*time.Second)
		time.Sleep(step)
		waited += step
	}
}

// patience is how long healing may take. A message that the server refuses costs up to three
// connections, each of which is too short for the schedule to restart: one that it ends among other
// messages, a trial that ends with 1008, after which it is not dropped yet, and another trial.
func (w *world) patience() time.Duration {
	const attempts, quiet = 3, 2 * time.Second
	delay := w.Settings.Tiers[len(w.Settings.Tiers)-1]
	limit := 2*time.Minute + 4*delay
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.messages {
		isLeft := m.returned == 0 || m.accepted() && len(m.written)+m.back+m.dropped == 0
		if w.Settings.Limit > 0 && isLeft && m.size+100 > w.Settings.Limit {
			limit += attempts * (delay*11/10 + quiet)
		}
	}
	return limit
}

// unwell returns why the client is not as it should be in a healthy world, or "". It connects a
// client that has ended.
func (w *world) unwell() string {
	stats := w.client.Stats()
	w.mu.Lock()
	defer w.mu.Unlock()
	connecting, ending := false, false
	var waiting string
	for c := range w.calls {
		switch c.verb {
		case "connect", "run":
			connecting = true
			if c.verb == "connect" {
				waiting = c.verb
			}
		case "close", "closeNow", "shutdown":
			waiting, ending = c.verb, true
		default: // on a client that is not connected, it waits for Connect
			waiting = c.verb
		}
	}
	switch {
	case stats.State == wechatws.StateIdle || stats.State == wechatws.StateClosed || stats.State == wechatws.StateFailed:
		if !connecting && !ending {
			go w.perform(context.Background(), step{Do: "connect", D: 10 * time.Minute}, "")
		}
		return "the client is " + stats.State.String()
	case stats.State != wechatws.StateOpen:
		return "the client is " + stats.State.String()
	case waiting != "":
		return waiting + " has not returned"
	case stats.Queued > 0:
		return fmt.Sprintf("%d messages are queued", stats.Queued)
	}
	return ""
}

// close closes the client, and checks that nothing is left.
func (w *world) close() {
	done := w.client.Done()
	w.perform(context.Background(), step{Do: "close"}, "")
	synctest.Wait()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
	}
	synctest.Wait()
	w.check()
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-done:
	default:
		w.fail("goroutines: Done is not closed 20 s after Close")
	}
	for c := range w.calls {
		w.fail("waits: %s has not returned when the client was closed", c.verb)
	}
	if c := w.newest(); c != nil && !c.closed {
		w.fail("connections: connection %d outlives the client", c.number)
	}
	w.settled()
}

// endOfWorld lets everything end, also after a failure.
func (w *world) endOfWorld() {
	w.mu.Lock()
	w.over = true
	clear(w.todo)
	w.release()
	w.dialsHeld = false
	w.changed.Broadcast()
	failed := w.failure != ""
	w.mu.Unlock()
	if failed && w.client != nil {
		go w.client.CloseNow()
		time.Sleep(time.Hour)
	}
}

// A monitor is the client's NetworkMonitor.
type monitor struct {
	connected bool
	watchers  map[int]func(wechatws.NetworkStatus)
	watched   int
}

func (w *world) status() wechatws.NetworkStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.statusLocked()
}

func (w *world) statusLocked() wechatws.NetworkStatus {
	if w.connected {
		return wechatws.NetworkStatus{Connected: true, Type: "wifi"}
	}
	return wechatws.NetworkStatus{Type: "none"}
}

// Status implements [wechatws.NetworkMonitor].
func (w *world) Status() wechatws.NetworkStatus {
	_ = w.hook(context.Background(), "Status")
	return w.status()
}

// Watch implements [wechatws.NetworkMonitor].
func (w *world) Watch(fn func(wechatws.NetworkStatus)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched++
	n := w.watched
	if w.watchers == nil {
		w.watchers = map[int]func(wechatws.NetworkStatus){}
	}
	w.watchers[n] = fn
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, n)
	}
}

// change reports a change of the network to the client.
func (w *world) change(connected bool) {
	before := w.client.Stats()
	w.mu.Lock()
	w.urged = time.Now()
	same := w.connected == connected
	w.connected = connected
	status := w.statusLocked()
	var fns []func(wechatws.NetworkStatus)
	for n := range w.watched + 1 {
		if fn := w.watchers[n]; fn != nil {
			fns = append(fns, fn)
		}
	}
	if c := w.newest(); c != nil {
		c.netChanged = true
	}
	dialing := w.newest()
	w.mu.Unlock()
	for _, fn := range fns {
		fn(status)
	}
	if len(fns) == 0 {
		return
	}
	synctest.Wait()
	after := w.client.Stats()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.isEnding():
	case !connected && w.wishGrace == time.Second:
		w.wish = ""
	case connected && before.State == wechatws.StateWaiting && w.wish == "":
		// The route is unknown, so each change counts, up to one attempt each second.
		w.wish, w.wishedAt, w.wishSince, w.wishGrace = "a change of the network", before.Attempts, time.Now(), time.Second
	case same && before.State == wechatws.StateConnecting && dialing == w.newest() && dialing != nil && !dialing.closed && !dialing.gone && !dialing.reset &&
		before.Attempts != after.Attempts && w.wish == "":
		w.fail("attempts: a change of the network has restarted an attempt")
	}
}

// isEnding reports whether a call that ends the client has not returned. It is called with mu held.
func (w *world) isEnding() bool {
	for c := range w.calls {
		if c.ends {
			return true
		}
	}
	return false
}

// flap makes the network change all the time, if the settings say so.
func (w *world) flap() {
	if w.Settings.Flap == 0 {
		return
	}
	time.AfterFunc(w.Settings.Flap, func() {
		w.mu.Lock()
		w.urged, w.connected = time.Now(), w.connected != w.Settings.Toggles
		over, status, fn := w.over, w.statusLocked(), w.watchers[w.watched]
		if c := w.newest(); c != nil {
			c.netChanged = true
		}
		w.mu.Unlock()
		if over {
			return
		}
		if fn != nil {
			fn(status)
		}
		w.flap()
	})
}

// isError reports whether err is of type E, or wraps one.
func isError[E error](err error) (e E, ok bool) { ok = errors.As(err, &e); return e, ok }
