// Actioncable subscribes to a channel of a Rails backend, and answers what is said there.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/wechatws/wechatws"
)

const room = `{"channel":"RoomChannel","room":"lobby"}`

func main() {
	url := flag.String("url", "ws://127.0.0.1:3000/cable?user=bot", "of the server")
	limit := flag.Duration("for", 24*time.Hour, "how long to run")
	flag.Parse()
	ctx, stop := context.WithTimeout(context.Background(), *limit)
	defer stop()
	log.Println(run(ctx, *url))
}

func run(ctx context.Context, url string) error {
	client, err := wechatws.New(url, wechatws.WithSubprotocols("actioncable-v1-json"), wechatws.WithTypeField("type"),
		wechatws.WithoutHeartbeat(), // the server sends its own, and logs an error for each that it receives
		wechatws.WithReply(func(m wechatws.Message) (any, error) { // sees also what comes right before a close
			if again, _ := m.Field("reconnect"); again == "false" || m.Type == "reject_subscription" {
				return nil, wechatws.Permanent(fmt.Errorf("the server refuses: %s", wechatws.Printable(m.Data)))
			}
			return nil, nil
		}))
	if err != nil {
		return err
	}
	client.AfterConnect(10*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		_, err := o.Request(ctx, map[string]string{"command": "subscribe", "identifier": room},
			func(m wechatws.Message) bool { return m.Type == "confirm_subscription" })
		return err
	})
	client.OnOpen(func(context.Context, wechatws.OpenEvent) { log.Print("subscribed") })
	client.OnUnknown(func(ctx context.Context, m wechatws.Message) {
		if text, _ := m.Field("message", "text"); text == "ping" { // only messages of a channel have no type
			log.Print("heard: ping")
			_ = client.Send(ctx, map[string]string{"command": "message", "identifier": room, "data": `{"action":"speak","text":"pong"}`})
		}
	})
	return client.Run(ctx)
}
