// Firstbot is the bot of docs/getting-started.md: it answers a comment that says hello.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// A backend of the usual PHP kind (GatewayWorker), for 3 s. Later: your own URL, no timeout and no visitor.
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()

	b, err := newBot(backend.URL(), wechatws.WithLogger(slog.Default())) // logs why it is not connected
	if err != nil {
		return err
	}
	go func() { // the visitor
		if b.room.Joined(ctx) == nil {
			backend.Say("9527", "Hong", "Hello, anybody there?")
		}
	}()
	return b.run(ctx)
}

type bot struct {
	client  *wechatws.Client
	room    *liveroom.Room
	answers chan string
}

// newBot makes a bot. It does not connect yet.
func newBot(url string, options ...wechatws.Option) (*bot, error) {
	client, err := wechatws.New(url, options...)
	if err != nil {
		return nil, err
	}
	id := liveroom.Identity{RoomID: liveroom.Str("9527"), UserID: liveroom.Num(42), Name: "bot"}
	room, err := liveroom.New(client, id)
	if err != nil {
		return nil, err
	}
	b := &bot{client: client, room: room, answers: make(chan string, 16)}
	room.OnComment(b.comment)
	return b, nil
}

// comment is called for each comment in the room, also for the bot's own.
func (b *bot) comment(_ context.Context, c liveroom.Comment) {
	fmt.Printf("%s: %s\n", wechatws.Printable(c.FromName), wechatws.Printable(c.Content))
	if c.Own || !strings.Contains(strings.ToLower(string(c.Content)), "hello") {
		return
	}
	select {
	case b.answers <- "hello, " + string(c.FromName):
	default: // too many at once: this one gets no answer
	}
}

// run stays in the room. It returns a permanent error or, when ctx ends, nil or an *UndeliveredError.
func (b *bot) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // callbacks should not wait
		for {
			select {
			case text := <-b.answers:
				b.say(ctx, text)
			case <-ctx.Done():
				return
			}
		}
	}()
	return b.client.Run(ctx)
}

// say waits until the room shows the text, but not for ever.
func (b *bot) say(ctx context.Context, text string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := b.room.SayConfirmed(ctx, text); err != nil {
		log.Print(err)
	}
}
