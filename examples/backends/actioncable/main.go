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
			if m.Field("reconnect") == "false" || m.Type == "reject_subscription" {
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
	wechatws.On(client, "", func(ctx context.Context, m struct{ Message struct{ Text string } }) { // a channel's have no type
		log.Print("heard: ", wechatws.Printable(m.Message.Text))
		if m.Message.Text == "ping" {
			_ = client.Send(ctx, map[string]string{"command": "message", "identifier": room, "data": `{"action":"speak","text":"pong"}`})
		}
	})
	return client.Run(ctx)
}
