package wechatws

import (
	"context"

	"github.com/wechatws/wechatws/internal/callbacks"
)

// hooks are the callbacks for one kind of event.
type hooks[T any] struct{ callbacks.List[T] }

// call calls all callbacks with v, on the dispatcher's goroutine.
func (h *hooks[T]) call(ctx context.Context, v T, failed func(error)) {
	call(ctx, h.All(), nil, v, failed)
}

// call calls the callbacks of list and then those of more with v. A panic in one of them is
// passed to failed, and the others are still called. They are also called if one of them
// calls runtime.Goexit: then while the goroutine ends.
func call[T any](ctx context.Context, list, more []*callbacks.Callback[T], v T, failed func(error)) {
	for len(list) > 0 || len(more) > 0 {
		if len(list) == 0 {
			list, more = more, nil
		}
		one := list[0]
		list = list[1:]
		err := guard(func() error { one.Call(ctx, v); return nil }, func(pe *PanicError) {
			defer call(ctx, list, more, v, failed)
			failed(pe)
		})
		if err != nil {
			failed(err)
		}
	}
}
