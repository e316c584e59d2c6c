package liveroom

import (
	"context"
	"slices"
	"sync"

	"github.com/wechatws/wechatws"
)

// callbacks are the user's functions for one kind of message, in order of
// registration. The list is replaced, never changed in place.
type callbacks[T any] struct {
	mu   sync.Mutex
	list calls[T]
}

type calls[T any] []*func(context.Context, T)

func (cs *callbacks[T]) add(fn func(context.Context, T)) (remove func()) {
	added := &fn
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.list = append(slices.Clone(cs.list), added)
	return func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		cs.list = slices.DeleteFunc(slices.Clone(cs.list), func(one *func(context.Context, T)) bool { return one == added })
	}
}

func (cs *callbacks[T]) has(one *func(context.Context, T)) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.Contains(cs.list, one)
}

// call runs them all. A panic is left to the client, which reports it, and does
// not keep the others from running.
func (cs *callbacks[T]) call(ctx context.Context, v T) {
	cs.mu.Lock()
	list := cs.list
	cs.mu.Unlock()
	cs.run(ctx, v, list)
}

func (cs *callbacks[T]) run(ctx context.Context, v T, list calls[T]) {
	if len(list) == 0 {
		return
	}
	defer cs.run(ctx, v, list[1:])
	if cs.has(list[0]) { // an earlier one may have removed it
		(*list[0])(ctx, v)
	}
}

// register adds fn. A nil fn is reported by the client.
func register[T any](r *Room, cs *callbacks[T], msgType string, fn func(context.Context, T)) (remove func()) {
	if fn == nil {
		return wechatws.On(r.client, msgType, fn)
	}
	return cs.add(fn)
}

// OnComment registers fn for each comment that is received while the room is joined,
// including this member's own (see [Comment].Own). Comments of a [History] are in
// [Room.Snapshot] only.
//
// The callbacks of a room follow the rules of [wechatws.On]: they run one at a time and in
// order, on the client's callback goroutine; they may block, panic and call every method,
// and a nil one is an error of Connect. When they run, the snapshot contains the message.
// remove removes fn; it may be called more than once.
func (r *Room) OnComment(fn func(ctx context.Context, c Comment)) (remove func()) {
	return register(r, &r.onComment, Comment{}.MsgType(), fn)
}

// OnJoin registers fn for each join, including this member's own (see [Join].Own).
func (r *Room) OnJoin(fn func(ctx context.Context, j Join)) (remove func()) {
	return register(r, &r.onJoin, Join{}.MsgType(), fn)
}

// OnSubscribe registers fn for each new follower.
func (r *Room) OnSubscribe(fn func(ctx context.Context, s Subscribe)) (remove func()) {
	return register(r, &r.onSubscribe, Subscribe{}.MsgType(), fn)
}

// OnLeave registers fn for each leave; see [Leave].Ghost.
func (r *Room) OnLeave(fn func(ctx context.Context, l Leave)) (remove func()) {
	return register(r, &r.onLeave, Leave{}.MsgType(), fn)
}

// OnBuy registers fn for each purchase.
func (r *Room) OnBuy(fn func(ctx context.Context, b Buy)) (remove func()) {
	return register(r, &r.onBuy, Buy{}.MsgType(), fn)
}

// OnShelfChange registers fn for goods that are put on the shelf or taken off it.
func (r *Room) OnShelfChange(fn func(ctx context.Context, s ShelfChange)) (remove func()) {
	return register(r, &r.onShelfChange, ShelfChange{}.MsgType(), fn)
}

// OnNotice registers fn for each [Notice].
func (r *Room) OnNotice(fn func(ctx context.Context, n Notice)) (remove func()) {
	return register(r, &r.onNotice, "notice", fn)
}
