// Package callbacks holds the functions that a user has registered for one kind of event.
package callbacks

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// A List holds callbacks in the order of their registration. The zero List is empty. Its
// methods may be called from any goroutine, also while callbacks are being called.
type List[T any] struct {
	mu   sync.Mutex                     // serializes writers of list
	list atomic.Pointer[[]*Callback[T]] // replaced, never changed in place
}

// A Callback is one registered function.
type Callback[T any] struct {
	fn      func(context.Context, T)
	removed atomic.Bool
}

// Add registers fn. remove removes it; a call that has begun goes on. remove may be called
// any number of times.
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

// replace sets the list. It is called with mu held.
func (l *List[T]) replace(list []*Callback[T]) { l.list.Store(&list) }

// All returns the callbacks that are registered now. The slice is read-only.
func (l *List[T]) All() []*Callback[T] {
	if list := l.list.Load(); list != nil {
		return *list
	}
	return nil
}

// Call calls the function with ctx and v, unless it has been removed since [List.All]
// returned it.
func (c *Callback[T]) Call(ctx context.Context, v T) {
	if !c.removed.Load() {
		c.fn(ctx, v)
	}
}
