// Firstbot is the bot of the README: it says hello to who says hello.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	// A backend to try it with. Later: your own URL, and no visitor.
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	time.AfterFunc(time.Second, func() { backend.Say("9527", "Hong", "Hello, anybody there?") })

	client, err := wechatws.New(backend.URL())
	if err != nil {
		log.Fatal(err)
	}
	room, err := liveroom.New(client, liveroom.Identity{
		RoomID: liveroom.Str("9527"), UserID: liveroom.Num(42), Name: "bot",
	})
	if err != nil {
		log.Fatal(err)
	}
	room.OnComment(func(ctx context.Context, c liveroom.Comment) {
		fmt.Printf("%s: %s\n", c.FromName, c.Content)
		switch {
		case c.Own: // never answer yourself
			stop() // this one has said enough
		case strings.Contains(strings.ToLower(string(c.Content)), "hello"):
			_ = room.Say(ctx, "hello, "+string(c.FromName))
		}
	})
	if err := client.Run(ctx); err != nil { // joins the room, stays in it, leaves with Ctrl-C
		log.Fatal(err)
	}
}
