// Firstbot is the bot of the README: it answers a comment that says hello.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()

	// A backend to try it with. Later: your own URL, and no visitor.
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()

	client, err := wechatws.New(backend.URL())
	if err != nil {
		return err
	}
	room, err := liveroom.New(client, liveroom.Identity{
		RoomID: liveroom.Str("9527"), UserID: liveroom.Num(42), Name: "bot",
	})
	if err != nil {
		return err
	}
	answers := make(chan string, 16)
	room.OnComment(func(_ context.Context, c liveroom.Comment) {
		fmt.Printf("%s: %s\n", wechatws.Printable(c.FromName), wechatws.Printable(c.Content))
		switch {
		case c.Own: // never answer yourself
			stop() // the demo ends here; a bot stays
		case strings.Contains(strings.ToLower(string(c.Content)), "hello"):
			select {
			case answers <- "hello, " + string(c.FromName):
			default: // too many at once: this one gets no answer
			}
		}
	})
	go func() { // SayConfirmed waits until the room shows it; callbacks should not
		for {
			select {
			case text := <-answers:
				if err := room.SayConfirmed(ctx, text); err != nil {
					log.Print(err)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() { // the visitor
		if room.Joined(ctx) == nil {
			backend.Say("9527", "Hong", "Hello, anybody there?")
		}
	}()
	return client.Run(ctx) // joins the room and stays in it; nil when ctx ends
}
