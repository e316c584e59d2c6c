// Onebot is a bot that connects to an implementation of OneBot 11 and calls its API.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/wechatws/wechatws"
)

type object map[string]any

// A result is the answer to a call.
type result struct {
	Retcode int
	Data    object
}

func (r result) Err() error {
	if r.Retcode > 1 { // 1 is a call that is still under way
		return fmt.Errorf("onebot: retcode %d", r.Retcode)
	}
	return nil
}

func main() {
	url := flag.String("url", "ws://127.0.0.1:3001", "of the implementation; the access token is in $TOKEN")
	flag.Parse()
	log.Fatal(run(context.Background(), *url, os.Getenv("TOKEN")))
}

func run(ctx context.Context, url, token string) error {
	client, err := wechatws.New(url,
		wechatws.WithHeader(http.Header{"Authorization": {"Bearer " + token}}),
		wechatws.WithTypeField("post_type"),
		wechatws.WithRequestID("echo"),
		wechatws.WithoutHeartbeat(),
	)
	if err != nil {
		return err
	}
	wechatws.On(client, "message", func(ctx context.Context, m struct {
		User int64  `json:"user_id"`
		Text string `json:"raw_message"`
	}) {
		r, err := wechatws.Call[result](ctx, client, object{"action": "send_msg", "params": object{"user_id": m.User, "message": "you said: " + m.Text}})
		log.Printf("message %q, answer %q: %v", m.Text, fmt.Sprint(r.Data["message_id"]), err)
	})
	return client.Run(ctx)
}
