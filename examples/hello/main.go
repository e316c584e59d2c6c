// Hello is the program of README.md: it connects, stays connected and prints comments.
package main

import (
	"context"
	"log"
	"log/slog"

	"github.com/wechatws/wechatws"
)

func main() {
	client, err := wechatws.New("wss://live.example.com/ws", wechatws.WithLogger(slog.Default()))
	if err != nil {
		log.Fatal(err)
	}
	wechatws.On(client, "message", func(ctx context.Context, m struct{ Content string }) {
		log.Print(wechatws.Printable(m.Content))
	})
	log.Fatal(client.Run(context.Background())) // stays connected; returns a permanent error
}
