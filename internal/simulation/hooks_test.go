package simulation

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// What a function of the user's may call, by its documentation.
const (
	everything = iota
	reconnects
	nothing
)

// hooks are the functions of the user's. What the next call of one does is a step; without one it
// does nothing.
var hooks = []struct {
	name  string
	may   int
	fails bool // it returns an error
	runs  bool // it runs on the goroutine of the callbacks
}{
	{"OnMessage", everything, false, true},
	{"OnOpen", everything, false, true},
	{"OnClose", everything, false, true},
	{"OnError", everything, false, true},
	{"OnStateChange", everything, false, true},
	{"OnNetworkChange", everything, false, true},
	{"DialStart", reconnects, false, false},
	{"DialDone", reconnects, false, false},
	{"TraceOpen", reconnects, false, false},
	{"TraceClose", reconnects, false, false},
	{"Retry", reconnects, false, false},
	{"Ping", reconnects, false, false},
	{"Pong", reconnects, false, false},
	{"MessageStart", reconnects, false, true},
	{"MessageDone", reconnects, false, true},
	{"MessageSent", reconnects, false, false},
	{"Dropped", reconnects, false, true},
	{"RetryIf", everything, false, false},
	{"BackOff", everything, false, false},
	{"Login", everything, true, false},
	{"AfterConnect", everything, true, false},
	{"Endpoint", everything, true, false},
	{"Dial", everything, true, false},
	{"NewMessage", everything, true, false},
	{"Marshal", nothing, true, false},
	{"Logger", nothing, false, false},
	{"match", nothing, false, false},
	{"Status", nothing, false, false},
}

var errSimulated = errors.New("simulated")

// runsCallbacks reports whether a hook runs on the goroutine of the callbacks.
func runsCallbacks(name string) bool {
	for _, h := range hooks {
		if h.name == name {
			return h.runs
		}
	}
	return false
}

// hook is called by each function of the user's, and does what the next step for that function says.
func (w *world) hook(ctx context.Context, name string) error {
	w.mu.Lock()
	todo := w.todo[name]
	if len(todo) == 0 {
		w.mu.Unlock()
		return nil
	}
	s := todo[0]
	w.todo[name] = todo[1:]
	w.note("%s: %s %v", name, s.Then, s.D)
	free := w.free
	w.blocked[name]++
	if c := w.newest(); c != nil && !runsCallbacks(name) {
		c.starved, c.held = true, c.held || name != "DialDone" && name != "TraceOpen"
	}
	for c := range w.calls {
		c.stuck = c.stuck || name == "match" && (c.verb == "request" || c.verb == "confirm") || name == "BackOff" && (c.verb == "connect" || c.verb == "run")
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.blocked[name]--
	}()
	switch s.Then {
	case "sleep":
		time.Sleep(s.D)
	case "block":
		<-free
	case "panic":
		panic(errSimulated)
	case "goexit":
		runtime.Goexit()
	case "fail":
		return errSimulated
	default:
		w.setAnswered(name, s.Then == "request" || s.Then == "confirm")
		w.perform(ctx, step{Do: s.Then, N: s.N, D: s.D}, name)
		w.setAnswered(name, false)
	}
	return nil
}

func (w *world) setAnswered(name string, waits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered[name] = waits
}

// sessionHeld reports whether a function of the user's, other than a callback, has not returned. It
// is called with mu held.
func (w *world) sessionHeld() bool {
	for name, n := range w.blocked {
		if n > 0 && !runsCallbacks(name) {
			return true
		}
	}
	return false
}

// callbackHeld reports whether a callback blocks. It is called with mu held.
func (w *world) callbackHeld() bool {
	for name, n := range w.blocked {
		if n > 0 && runsCallbacks(name) {
			return true
		}
	}
	return false
}

// release lets all functions return that block. It is called with mu held.
func (w *world) release() {
	close(w.free)
	w.free = make(chan struct{})
}
