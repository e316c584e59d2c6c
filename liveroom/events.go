package liveroom

import (
	"context"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/callbacks"
)

// A RoomEvent is what the callbacks of [On] receive.
type RoomEvent interface {
	Comment | JoinEvent | SubscribeEvent | LeaveEvent | BuyEvent | ShelfEvent | Notice
}

// happened is an event with its room.
type happened[T any] struct {
	room  *Room
	event T
}

// On registers fn for the events of one type of all rooms, those that are added later included:
//
//	liveroom.On(rooms, func(ctx context.Context, r *liveroom.Room, c liveroom.Comment) { … })
//
// fn is called as that of [Room.OnComment] or its relatives is, and after it: for each room one call
// at a time and in order, and for several rooms at a time. A room whose callback blocks delays no other
// room. remove removes fn; it may be called more than once. A nil fn is an [*wechatws.OptionError] of
// the next [Rooms.Add].
func On[T RoomEvent](rs *Rooms, fn func(ctx context.Context, r *Room, event T)) (remove func()) {
	return addTo(rs, listOf[T](rs), "On", fn)
}

// OnFailed registers fn for rooms that have failed permanently: the server has refused them, or
// [wechatws.Client.Fail] was called. It is called as the functions of [On] are. Such a room remains
// until it is removed, which fn may do; then it may be added again, such as with a new token.
func (rs *Rooms) OnFailed(fn func(ctx context.Context, r *Room, err error)) (remove func()) {
	return addTo(rs, &rs.onFailed, "Rooms.OnFailed", fn)
}

func addTo[T any](rs *Rooms, list *callbacks.List[happened[T]], name string, fn func(context.Context, *Room, T)) (remove func()) {
	if fn == nil {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		rs.misuses = append(rs.misuses, &wechatws.OptionError{
			Option: "liveroom." + name, Value: "nil", Want: "the callback must be a function",
		})
		return func() {}
	}
	return list.Add(func(ctx context.Context, h happened[T]) { fn(ctx, h.room, h.event) })
}

// listOf returns the callbacks for events of type T.
func listOf[T RoomEvent](rs *Rooms) *callbacks.List[happened[T]] {
	var list any
	switch any((*T)(nil)).(type) {
	case *Comment:
		list = &rs.onComment
	case *JoinEvent:
		list = &rs.onJoin
	case *SubscribeEvent:
		list = &rs.onSubscribe
	case *LeaveEvent:
		list = &rs.onLeave
	case *BuyEvent:
		list = &rs.onBuy
	case *ShelfEvent:
		list = &rs.onShelfChange
	case *Notice:
		list = &rs.onNotice
	}
	return list.(*callbacks.List[happened[T]])
}
