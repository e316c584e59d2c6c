// Envelopes is a bot for Slack's Socket Mode, which acknowledges at once and takes its time.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"time"

	"github.com/wechatws/wechatws"
)

func main() {
	api := flag.String("url", "https://slack.com/api", "of the HTTP API; the app's token is in $TOKEN")
	flag.Parse()
	log.Fatal(run(context.Background(), *api, os.Getenv("TOKEN")))
}

func run(ctx context.Context, api, token string) error {
	client, err := wechatws.New("",
		wechatws.WithEndpoint(func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) { return open(ctx, api, token) }),
		wechatws.WithTypeField("type"),
		wechatws.WithoutHeartbeat(),
		wechatws.WithReply(func(m wechatws.Message) (any, error) {
			if id := m.Field("envelope_id"); id != "" {
				return map[string]string{"envelope_id": id}, nil
			}
			return nil, nil
		}),
		wechatws.WithParallel(func(m wechatws.Message) string { return m.Field("payload", "event", "channel") }, 16),
	)
	if err != nil {
		return err
	}
	wechatws.On(client, "events_api", func(_ context.Context, m wechatws.Message) {
		event := wechatws.Printable(m.Field("payload", "event", "channel") + " " + m.Field("payload", "event", "text"))
		log.Println("message:", event)
		time.Sleep(700 * time.Millisecond) // a model is asked
		log.Println("done:", event)
	})
	wechatws.On(client, "disconnect", func(_ context.Context, m wechatws.Message) {
		if reason := m.Field("reason"); reason == "link_disabled" {
			client.Fail(errors.New("slack: " + reason))
		}
		client.Disconnect(m.Connection, wechatws.ErrReconnect)
	})
	return client.Run(ctx)
}
