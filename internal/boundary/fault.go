package boundary

import (
	"sync"
	"sync/atomic"
)

// A Fault is the first panic in the methods of a connection of a user's.
type Fault struct {
	users Caller // records the errors that it makes

	first    atomic.Pointer[error]
	panicked atomic.Pointer[func(error)] // nil while the connection is made
}

func (f *Fault) init(users Caller) {
	f.users = func(value any, stack []byte) error {
		err := users(value, stack)
		f.first.CompareAndSwap(nil, &err)
		if panicked := f.panicked.Load(); panicked != nil {
			(*panicked)(err)
		}
		return err
	}
}

// Err returns the first panic, or nil.
func (f *Fault) Err() error {
	if err := f.first.Load(); err != nil {
		return *err
	}
	return nil
}

// Live is called when the connection has been made. From then on panicked is called with each
// panic, on any goroutine.
func (f *Fault) Live(panicked func(error)) { f.panicked.Store(&panicked) }

// live reports whether Live was called.
func (f *Fault) live() bool { return f.panicked.Load() != nil }

// A gate counts the calls that are under way, and closes.
type gate struct {
	mu     sync.Mutex // guards closed, and under.Add
	closed bool
	under  sync.WaitGroup
}

// enter reports whether a call may be made. If it returns true, the caller must call under.Done.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.under.Add(1)
	}
	return !g.closed
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}
