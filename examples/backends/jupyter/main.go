// Jupyter executes a cell twice a second in a kernel of a Jupyter server, and makes a new
// kernel when the old one is gone.
package main

import (
	"context"
	"flag"
	"log"
	"time"

	"github.com/wechatws/wechatws"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8888", "of the server")
	limit := flag.Duration("for", 24*time.Hour, "how long to run")
	flag.Parse()
	ctx, stop := context.WithTimeout(context.Background(), *limit)
	defer stop()
	log.Println(run(ctx, *url))
}

func run(ctx context.Context, url string) error {
	// A heartbeat would be a message without a header, for which the server ends the connection.
	client, err := wechatws.New("", wechatws.WithEndpoint(endpoint(url)), wechatws.WithoutHeartbeat())
	if err != nil {
		return err
	}
	client.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
		cell := execute(`n = globals().get("n", 0)`)
		_, err := o.Request(ctx, cell, cell.reply)
		return err
	})
	wechatws.On(client, "stream", func(_ context.Context, m struct{ Content struct{ Text string } }) {
		log.Print("output: ", wechatws.Printable(m.Content.Text))
	})
	if err := client.Connect(ctx); err != nil {
		return err
	}
	defer client.CloseNow()
	for ; ctx.Err() == nil; time.Sleep(time.Second / 2) {
		cell := execute(`n += 1; print("n is", n)`)
		answer, err := client.Request(ctx, cell, cell.reply)
		log.Print("executed: ", wechatws.Printable(answer.Field("content", "status")), err)
	}
	return ctx.Err()
}
