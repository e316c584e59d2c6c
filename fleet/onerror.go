package fleet

import (
	"log/slog"
	"sync"
)

// errorFuncs are the functions that OnError has registered, for errors about rooms or messages.
type errorFuncs[T any] struct {
	mu   sync.RWMutex
	list []func(about T, err error)
}

// add registers fn. It panics at once if fn is nil, and not at the first error.
func (f *errorFuncs[T]) add(fn func(about T, err error)) {
	if fn == nil {
		panic("fleet: OnError: fn is nil")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fn)
}

// call calls all of them. A panic in one is logged.
func (f *errorFuncs[T]) call(log *slog.Logger, about T, err error) {
	f.mu.RLock()
	list := f.list[:len(f.list):len(f.list)]
	f.mu.RUnlock()
	for _, fn := range list {
		panicked := protect(func() error { fn(about, err); return nil })
		if panicked != nil {
			log.Error("a function of OnError has panicked", "err", panicked)
		}
	}
}
