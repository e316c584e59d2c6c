package fleet

import (
	"errors"
	"log/slog"
	"sync"
)

// errorFuncs are the functions that OnError has registered, for errors about rooms or messages.
type errorFuncs[T any] struct {
	mu   sync.RWMutex
	list []func(about T, err error)

	misuses []error // wrong registrations, which Run returns
}

// add registers fn. function is for the error about a nil fn.
func (f *errorFuncs[T]) add(function string, fn func(about T, err error)) {
	if fn == nil {
		f.misuse(wrong(function, "nil", needsFunction))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fn)
}

const needsFunction = "the callback must be a function"

// misuse has Run return err.
func (f *errorFuncs[T]) misuse(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.misuses = append(f.misuses, err)
}

// misused returns the errors about wrong registrations, joined.
func (f *errorFuncs[T]) misused() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return errors.Join(f.misuses...)
}

// call calls all of them. A panic in one is logged.
func (f *errorFuncs[T]) call(log *slog.Logger, about T, err error) {
	f.mu.RLock()
	list := f.list[:len(f.list):len(f.list)]
	f.mu.RUnlock()
	for _, fn := range list {
		panicked := users.Apart(func() error { fn(about, err); return nil })
		if panicked != nil {
			log.Error("a function of OnError has panicked", "err", panicked)
		}
	}
}
