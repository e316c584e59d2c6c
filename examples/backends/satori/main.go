// A bot on the Satori protocol, in which one server passes on the events of many chat platforms.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"os"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

func main() {
	url := flag.String("url", "ws://127.0.0.1:5500/satori/v1/events", "URL of the server's events")
	flag.Parse()
	log.Fatal(run(context.Background(), *url, os.Getenv("TOKEN")))
}

func run(ctx context.Context, url, token string) error {
	client, err := wechatws.New(url, wechatws.WithTypeField("op"), // 0: event, 2: PONG, 4: READY
		wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 10 * time.Second, Message: map[string]int{"op": 1}}),
		wechatws.WithRetryIf(func(f wechatws.Failure) bool {
			closed, ok := errors.AsType[*wechatws.CloseError](f.Err)
			return !(ok && closed.Code == 4004) && wechatws.DefaultRetryIf(f) // 4004: the token is wrong
		}))
	if err != nil {
		return err
	}
	var body atomic.Value // of IDENTIFY; atomic, since a slow callback may still run while the client connects
	body.Store(map[string]any{"token": token})
	client.AfterConnect(10*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		_, err := o.Request(ctx, map[string]any{"op": 3, "body": body.Load()}, func(m wechatws.Message) bool { return m.Type == "4" })
		return err
	})
	wechatws.On(client, "4", func(_ context.Context, m wechatws.Message) {
		log.Print("ready: ", wechatws.Printable(m.Field("body", "logins", "0", "user", "name")))
	})
	wechatws.On(client, "0", func(_ context.Context, m wechatws.Message) {
		body.Store(map[string]any{"token": token, "sequence": json.Number(m.Field("body", "id"))})
		if m.Field("body", "type") == "message-created" {
			log.Print("message: ", wechatws.Printable(m.Field("body", "message", "content")))
		}
	})
	client.OnError(func(_ context.Context, err error) { log.Print("error: ", err) })
	return client.Run(ctx)
}
