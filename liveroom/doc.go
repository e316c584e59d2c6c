// Package liveroom speaks the protocol of a WeChat Mini Program live room and
// keeps the state of one.
//
// A Room is made on a wechatws.Client. It joins on every connection before
// anything else is said there, knows who is watching, what was said, and what is
// on the shelf, and calls typed callbacks:
//
//	client, err := wechatws.New("wss://live.example.com/ws")
//	…
//	room, err := liveroom.New(client, liveroom.Config{
//		RoomID: liveroom.Str("9527"), LiveID: liveroom.Num(1), UserID: liveroom.Num(42),
//		Name:   "bot",
//	})
//	…
//	room.OnComment(func(ctx context.Context, c liveroom.Comment) {
//		if !c.Own && c.Content == "hello" {
//			_ = room.Say(ctx, "hello, "+string(c.FromName))
//		}
//	})
//	err = client.Run(ctx) // joins, and comes back when it must
//
// The messages are those of the page that this library mirrors; see Message types
// below. Backends of this protocol are often written in PHP, so reading is
// tolerant: numbers may be strings and the other way round, an absent list null,
// [] or {}, and fields that are not known here do no harm. Writing is strict.
//
// # Message types
//
//	from the server    type
//	init               Init        the server gives an id and waits for a join
//	join               Join        somebody has joined; the first one is our own
//	message            Comment
//	subscribe          Subscribe   a new follower
//	leave              Leave
//	buy                Buy
//	on_off_shelf       Shelf       goods go on the shelf or off it
//
//	from the client    type
//	ping               PingCommand
//	join               JoinCommand
//	message            CommentCommand
//	on_off_shelf       ShelfCommand
//
// A type of one's own needs no more than a struct with JSON tags and
// wechatws.On(client, "its_msg_type", func(ctx context.Context, v T) { … }).
//
// Package liveroomtest has a backend to try all this against.
package liveroom
