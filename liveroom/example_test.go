package liveroom_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// A bot that answers.
func ExampleNew() {
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()

	client, err := wechatws.New(backend.URL())
	if err != nil {
		panic(err)
	}
	room, err := liveroom.New(client, liveroom.Identity{
		RoomID: liveroom.Str("9527"), LiveID: liveroom.Num(1), UserID: liveroom.Num(42), Name: "bot",
	})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	room.OnJoin(func(ctx context.Context, j liveroom.JoinEvent) {
		fmt.Println(j.MsgContent, j.Own)
		backend.Say("9527", "Hong", "hello?")
	})
	room.OnComment(func(ctx context.Context, c liveroom.Comment) {
		fmt.Printf("%s: %s\n", c.FromName, c.Content)
		if c.Own { // the server has broadcast the bot's answer
			stop()
		} else {
			_ = room.Say(ctx, "hello, "+string(c.FromName))
		}
	})
	fmt.Println(client.Run(ctx)) // nil when ctx ends
	// Output:
	// bot 进入直播间 true
	// Hong: hello?
	// bot: hello, Hong
	// <nil>
}

func ExampleRoom_Joined() {
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	client, _ := wechatws.New(backend.URL())
	room, err := liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str("9527"), Name: "anchor", Anchor: true})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	go func() { _ = client.Connect(ctx) }()
	if err := room.Joined(ctx); err != nil {
		panic(err)
	}
	on := make(chan liveroom.ShelfEvent)
	room.OnShelfChange(func(_ context.Context, s liveroom.ShelfEvent) { on <- s })
	_ = room.PutOnShelf(ctx, liveroom.Goods{ID: liveroom.Num(7), Name: "tea", Price: liveroom.Str("9.90")})
	<-on
	s := room.Snapshot()
	fmt.Println(s.Joined, s.Viewers, s.Goods[0].Name, s.Goods[0].Price)
	fmt.Println(room.Leave())
	// Output:
	// true 1 tea 9.90
	// <nil>
}

// A bot that is in many rooms.
func ExampleRooms() {
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()

	rooms, err := liveroom.NewRooms(func(context.Context, liveroom.Identity) (*wechatws.Client, error) {
		return wechatws.New(backend.URL(), wechatws.WithJitter(0.2)) // the options of each room's client
	}, liveroom.WithJoinRate(100))
	if err != nil {
		panic(err)
	}
	answered := make(chan string)
	liveroom.On(rooms, func(ctx context.Context, r *liveroom.Room, c liveroom.Comment) {
		if c.Own { // the server has broadcast the bot's answer
			answered <- fmt.Sprintf("%v: %s", r.Identity().RoomID, c.Content)
		} else {
			_ = r.Say(ctx, "hello, "+string(c.FromName))
		}
	})
	rooms.OnFailed(func(_ context.Context, r *liveroom.Room, err error) { fmt.Println(r, err) })

	ctx := context.Background()
	for _, id := range []string{"9527", "9528"} {
		room, err := rooms.Add(ctx, liveroom.Identity{RoomID: liveroom.Str(id), UserID: liveroom.Num(42), Name: "bot"},
			liveroom.WithCommentRate(2))
		if err != nil {
			panic(err)
		}
		if err := room.Joined(ctx); err != nil {
			panic(err)
		}
		backend.Say(id, "Hong", "hello?")
		fmt.Println(<-answered)
	}
	fmt.Println(rooms.Stats().Joined, "rooms are joined")
	fmt.Println(rooms.Shutdown(ctx))
	// Output:
	// 9527: hello, Hong
	// 9528: hello, Hong
	// 2 rooms are joined
	// <nil>
}

// A message type of one's own is a struct and a callback.
func ExampleRoom_Client() {
	backend := liveroomtest.NewBackend(liveroomtest.Quirks{})
	defer backend.Close()
	client, _ := wechatws.New(backend.URL())
	room, err := liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str("9527"), Name: "bot"})
	if err != nil {
		panic(err)
	}
	type Gift struct {
		From  liveroom.Text   `json:"from_name"` // these types read what PHP writes, too
		Count liveroom.Number `json:"gift_num"`
	}
	gifts := make(chan Gift)
	wechatws.On(room.Client(), "gift", func(_ context.Context, g Gift) { gifts <- g })

	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	defer room.Leave()
	conn, _ := backend.Server().NextConn(ctx)
	_ = conn.Send(`{"msg_type":"gift","from_name":"Hong","gift_num":"3"}`)
	g := <-gifts
	fmt.Println(g.From, g.Count)
	// Output: Hong 3
}

func ExampleDecode() {
	m, err := liveroom.Decode(wechatws.Message{Type: "message", Data: []byte(`{"msg_type":"message","from_name":"Hong","content":666}`)})
	c, ok := m.(liveroom.Comment)
	fmt.Println(c.FromName, c.Content, ok, err)
	// Output: Hong 666 true <nil>
}

// The server refuses a comment, and the room shows another one.
func ExampleRoom_SayConfirmed() {
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	client, _ := wechatws.New(backend.URL())
	room, err := liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str("9527"), Name: "bot"})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	defer room.Leave()

	fmt.Println(room.SayConfirmed(ctx, "hello"))
	backend.Mute("9527", "bot", true)
	err = room.SayConfirmed(ctx, "buy now!!!")
	fmt.Println(err)
	var refused *liveroom.RefusedError
	fmt.Println(errors.As(err, &refused), refused.Content)
	// Output:
	// <nil>
	// liveroom: "message" was refused by the server: "not in a room"
	// true buy now!!!
}

// A server that answers {"code":403,"msg":"…"}, and code 0 for success.
func ExampleWithRefusals() {
	backend := liveroomtest.NewBackend(liveroomtest.Quirks{Refusal: `{"code":403,"msg":"muted"}`})
	defer backend.Close()
	client, _ := wechatws.New(backend.URL())
	room, err := liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str("9527"), Name: "bot"},
		liveroom.WithRefusals(liveroom.Refusal{Field: "code", Not: []string{"0"}, Text: "msg"}))
	if err != nil {
		panic(err)
	}
	refused := make(chan error)
	room.OnRefused(func(_ context.Context, err *liveroom.RefusedError) { refused <- err })
	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	defer room.Leave()
	if err := room.SayConfirmed(ctx, "hello"); err != nil {
		panic(err)
	}
	backend.Mute("9527", "bot", true)
	_ = room.Say(ctx, "buy now!!!")
	fmt.Println(<-refused)
	// Output: liveroom: "message" was refused by the server: "muted"
}
