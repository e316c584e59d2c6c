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

// register adds fn. The client knows what to do about a nil one.
func register[T any](r *Room, cs *callbacks[T], msgType string, fn func(context.Context, T)) (remove func()) {
	if fn == nil {
		return wechatws.On(r.client, msgType, fn)
	}
	return cs.add(fn)
}

// OnComment registers fn for each comment that is made while we are in the room,
// our own included (see Comment.Own). Those of a history are only in Snapshot.
//
// The callbacks of a room follow the rules of wechatws.On: they are called one at
// a time and in order, may block, panic and call everything, and a nil one is an
// error. Snapshot shows the message already when they are called. The function
// returned removes fn again.
func (r *Room) OnComment(fn func(ctx context.Context, c Comment)) (remove func()) {
	return register(r, &r.onComment, Comment{}.MsgType(), fn)
}

// OnJoin registers fn for each join, our own included (see Join.Own).
func (r *Room) OnJoin(fn func(ctx context.Context, j Join)) (remove func()) {
	return register(r, &r.onJoin, Join{}.MsgType(), fn)
}

// OnSubscribe registers fn for each new follower.
func (r *Room) OnSubscribe(fn func(ctx context.Context, s Subscribe)) (remove func()) {
	return register(r, &r.onSubscribe, Subscribe{}.MsgType(), fn)
}

// OnLeave registers fn for each leave; see Leave.Ghost.
func (r *Room) OnLeave(fn func(ctx context.Context, l Leave)) (remove func()) {
	return register(r, &r.onLeave, Leave{}.MsgType(), fn)
}

// OnBuy registers fn for each purchase.
func (r *Room) OnBuy(fn func(ctx context.Context, b Buy)) (remove func()) {
	return register(r, &r.onBuy, Buy{}.MsgType(), fn)
}

// OnShelf registers fn for goods that go on the shelf or off it.
func (r *Room) OnShelf(fn func(ctx context.Context, s Shelf)) (remove func()) {
	return register(r, &r.onShelf, Shelf{}.MsgType(), fn)
}

// OnNotice registers fn for each line that a page would show for a moment.
func (r *Room) OnNotice(fn func(ctx context.Context, n Notice)) (remove func()) {
	return register(r, &r.onNotice, "notice", fn)
}
