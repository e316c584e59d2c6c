package liveroom

import (
	"context"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/callbacks"
)

// call calls all callbacks of a list with v. A panic in one is left to the client, which
// reports it; the others are called nevertheless.
func call[T any](ctx context.Context, list []*callbacks.Callback[T], v T) {
	if len(list) == 0 {
		return
	}
	defer call(ctx, list[1:], v)
	list[0].Call(ctx, v)
}

// emit calls the callbacks of the room, and then those of all rooms.
func emit[T RoomEvent](ctx context.Context, r *Room, own *callbacks.List[T], v T) {
	if rs := r.cfg.rooms; rs != nil {
		defer func() { call(ctx, listOf[T](rs).All(), happened[T]{r, v}) }()
	}
	call(ctx, own.All(), v)
}

// register adds fn. A nil fn is reported by the client.
func register[T any](r *Room, list *callbacks.List[T], msgType string, fn func(context.Context, T)) (remove func()) {
	if fn == nil {
		return wechatws.On(r.client, msgType, fn)
	}
	return list.Add(fn)
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

// OnJoin registers fn for each join, including this member's own (see [JoinEvent].Own).
func (r *Room) OnJoin(fn func(ctx context.Context, j JoinEvent)) (remove func()) {
	return register(r, &r.onJoin, JoinEvent{}.MsgType(), fn)
}

// OnSubscribe registers fn for each new follower.
func (r *Room) OnSubscribe(fn func(ctx context.Context, s SubscribeEvent)) (remove func()) {
	return register(r, &r.onSubscribe, SubscribeEvent{}.MsgType(), fn)
}

// OnLeave registers fn for each leave; see [LeaveEvent].Ghost.
func (r *Room) OnLeave(fn func(ctx context.Context, l LeaveEvent)) (remove func()) {
	return register(r, &r.onLeave, LeaveEvent{}.MsgType(), fn)
}

// OnBuy registers fn for each purchase.
func (r *Room) OnBuy(fn func(ctx context.Context, b BuyEvent)) (remove func()) {
	return register(r, &r.onBuy, BuyEvent{}.MsgType(), fn)
}

// OnShelfChange registers fn for goods that are put on the shelf or taken off it.
func (r *Room) OnShelfChange(fn func(ctx context.Context, s ShelfEvent)) (remove func()) {
	return register(r, &r.onShelfChange, ShelfEvent{}.MsgType(), fn)
}

// OnNotice registers fn for each [Notice].
func (r *Room) OnNotice(fn func(ctx context.Context, n Notice)) (remove func()) {
	return register(r, &r.onNotice, "notice", fn)
}
