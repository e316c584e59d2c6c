package wechatws

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// hooks are the callbacks for one kind of event, in order of registration. They
// may be added and removed at any time, also while they are being called.
type hooks[T any] struct {
	mu   sync.Mutex                 // for who changes the list
	list atomic.Pointer[[]*hook[T]] // replaced, never changed in place
}

type hook[T any] struct {
	fn      func(context.Context, T)
	removed atomic.Bool
}

// add registers fn and returns what removes it.
func (h *hooks[T]) add(fn func(context.Context, T)) (remove func()) {
	added := &hook[T]{fn: fn}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.replace(append(slices.Clone(h.all()), added))
	return func() {
		added.removed.Store(true)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.replace(slices.DeleteFunc(slices.Clone(h.all()), func(one *hook[T]) bool { return one == added }))
	}
}

func (h *hooks[T]) replace(list []*hook[T]) { h.list.Store(&list) }

func (h *hooks[T]) all() []*hook[T] {
	if list := h.list.Load(); list != nil {
		return *list
	}
	return nil
}

// call runs all callbacks with v.
func (h *hooks[T]) call(ctx context.Context, v T, failed func(error)) {
	call(ctx, h.all(), nil, v, failed)
}

// call runs callbacks with v, those of list and then those of more. What panics is given to
// failed, and the next one is run, also while one of them ends the goroutine. One that an
// earlier one has removed is not run any more.
func call[T any](ctx context.Context, list, more []*hook[T], v T, failed func(error)) {
	for len(list) > 0 || len(more) > 0 {
		if len(list) == 0 {
			list, more = more, nil
		}
		one := list[0]
		list = list[1:]
		if one.removed.Load() {
			continue
		}
		err := guard(func() error { one.fn(ctx, v); return nil }, func(pe *PanicError) {
			defer call(ctx, list, more, v, failed)
			failed(pe)
		})
		if err != nil {
			failed(err)
		}
	}
}
