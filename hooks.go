package wechatws

import (
	"context"

	"github.com/wechatws/wechatws/internal/callbacks"
)

// hooks are the callbacks for one kind of event.
type hooks[T any] struct{ callbacks.List[T] }

// call runs all callbacks with v.
func (h *hooks[T]) call(ctx context.Context, v T, failed func(error)) { call(ctx, h.All(), v, failed) }

// call runs callbacks with v. A panic in one is passed to failed, and the next one is run.
func call[T any](ctx context.Context, list []*callbacks.Callback[T], v T, failed func(error)) {
	for _, one := range list {
		if err := protect(func() error { one.Call(ctx, v); return nil }); err != nil {
			failed(err)
		}
	}
}
