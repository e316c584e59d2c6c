// Package liveroom implements the protocol of a WeChat Mini Program live room and
// keeps the state of one.
//
// A [Room] is made on a [wechatws.Client]. It joins on every connection before any other
// message is sent, keeps the numbers of viewers and followers, the comments and the goods
// on the shelf, and calls typed callbacks:
//
//	client, err := wechatws.New("wss://live.example.com/ws")
//	…
//	room, err := liveroom.New(client, liveroom.Identity{
//		RoomID: liveroom.Str("9527"), LiveID: liveroom.Num(1), UserID: liveroom.Num(42),
//		Name:   "bot",
//	})
//	…
//	room.OnComment(func(ctx context.Context, c liveroom.Comment) {
//		if !c.Own && c.Content == "hello" {
//			_ = room.Say(ctx, "hello, "+string(c.FromName))
//		}
//	})
//	err = client.Run(ctx) // joins, and joins again after each reconnect
//
// The messages are those of the page that this library mirrors; see Message types
// below. Backends of this protocol are often written in PHP, so decoding is
// tolerant: numbers may be strings and strings numbers, an empty list null, [] or {}, and
// unknown fields are ignored. Encoding is strict.
//
// # Message types
//
// A type is named after its msg_type:
//
//	from the server    type
//	init               InitEvent       the server assigns an id and asks for a join
//	join               JoinEvent       a member has joined; the first one is this client
//	message            Comment
//	subscribe          SubscribeEvent  a new follower
//	leave              LeaveEvent      a member has left
//	buy                BuyEvent        a member has bought something
//	on_off_shelf       ShelfEvent      goods were put on the shelf or taken off it
//
//	from the client    type
//	ping               PingCommand
//	join               JoinCommand
//	message            CommentCommand
//	on_off_shelf       ShelfCommand
//
// For any other type, define a struct with JSON tags and call
// wechatws.On(client, "its_msg_type", func(ctx context.Context, v T) { … }).
//
// Package liveroomtest has a backend for tests and demos.
package liveroom
