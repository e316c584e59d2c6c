// Bot is the smallest useful bot for a live room: it greets new viewers, answers
// keywords, thanks buyers, and limits the rate of its comments. It is made to be copied.
//
// Without -url it starts a backend with a visitor, loses its connection once while you
// watch, and ends by itself:
//
//	go run -C examples/bot .
//	go run -C examples/bot . -url wss://live.example.com/ws -room 9527 -user 42 -name bot
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

func main() {
	url := flag.String("url", "", "the backend's ws or wss URL (default: a backend of its own)")
	room := flag.String("room", "9527", "the room's id")
	live := flag.String("live", "1", "the live's id")
	user := flag.String("user", "42", "the bot's user id")
	name := flag.String("name", "bot", "the bot's name")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Bot greets, answers and thanks in a live room. Flags:")
		flag.PrintDefaults()
	}
	flag.Parse()

	// Containers and systemd stop a program with SIGTERM.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	id := liveroom.Identity{
		RoomID: liveroom.Str(*room), LiveID: liveroom.Str(*live), UserID: liveroom.Str(*user), Name: *name,
	}
	err := run(ctx, *url, id)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run runs the bot until ctx ends, the demo is over or an error is permanent. The error is
// nil in the first two cases.
func run(ctx context.Context, url string, id liveroom.Identity, options ...wechatws.Option) error {
	var show *demo
	if url == "" {
		show = newDemo()
		defer show.backend.Close()
		url = show.backend.URL()
	}
	client, err := wechatws.New(url, options...)
	if err != nil {
		return err
	}
	room, err := liveroom.New(client, id)
	if err != nil {
		return err
	}
	room.OnComment(func(_ context.Context, c liveroom.Comment) {
		log.Printf("%s: %s", wechatws.Printable(c.FromName), wechatws.Printable(c.Content))
	})
	room.OnNotice(func(_ context.Context, n liveroom.Notice) {
		if !n.Ghost {
			log.Printf("* %s", wechatws.Printable(n.Text))
		}
	})
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		if c.RetryIn > 0 {
			log.Printf("-- %v for %v: %v", c.To, c.RetryIn, c.Err)
		} else {
			log.Printf("-- %v", c.To)
		}
	})
	client.OnError(func(_ context.Context, err error) { log.Printf("!! %v", err) })
	b := newBot(room)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return client.Run(ctx) })
	group.Go(func() error { return b.speak(ctx) })
	if show != nil {
		group.Go(func() error {
			defer stop()
			if err := show.perform(ctx, id); ctx.Err() == nil { // else it was interrupted
				return err
			}
			return nil
		})
	}
	err = group.Wait()
	fmt.Printf("\n%d lines said over %d connections\n", b.said, client.Stats().Opens)
	return err
}
