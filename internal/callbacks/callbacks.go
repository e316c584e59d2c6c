// Package callbacks has lists of the functions that a user has registered for an event.
package callbacks

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// A List is a list of callbacks in the order of their registration. They may be added and removed at
// any time and from any goroutine, also while they are being called. The zero List is
// empty.
type List[T any] struct {
	mu   sync.Mutex                     // held while the list is replaced
	list atomic.Pointer[[]*Callback[T]] // replaced, never changed in place
}

// A Callback is one registered function.
type Callback[T any] struct {
	fn      func(context.Context, T)
	removed atomic.Bool
}

// Add registers fn. remove removes it, and may be called more than once.
func (l *List[T]) Add(fn func(context.Context, T)) (remove func()) {
	added := &Callback[T]{fn: fn}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replace(append(slices.Clone(l.All()), added))
	return func() {
		added.removed.Store(true)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.replace(slices.DeleteFunc(slices.Clone(l.All()), func(one *Callback[T]) bool { return one == added }))
	}
}

func (l *List[T]) replace(list []*Callback[T]) { l.list.Store(&list) }

// All returns the callbacks that are registered now. The caller must not change the slice.
func (l *List[T]) All() []*Callback[T] {
	if list := l.list.Load(); list != nil {
		return *list
	}
	return nil
}

// Call calls the function, unless it has been removed since All returned it.
func (c *Callback[T]) Call(ctx context.Context, v T) {
	if !c.removed.Load() {
		c.fn(ctx, v)
	}
}
