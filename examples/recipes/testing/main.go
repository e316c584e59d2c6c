// Testing is a bot with the tests that a bot should have; docs/testing.md explains them. The
// program shows the bot at work.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
	defer server.Close()
	b, err := newBot(server.URL(), "secret", log.New(out, "bot's log: ", 0),
		wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil), wechatws.WithoutHeartbeat())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	over := make(chan error, 1)
	go func() { over <- b.run(ctx) }()

	conn, err := server.NextConn(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.Receive(ctx); err != nil { // the login
		return err
	}
	for _, text := range []string{"price of tea", "price of cake"} {
		fmt.Fprintln(out, "Hong:", wechatws.Printable(text))
		if err := conn.SendJSON(comment{"message", "Hong", text}); err != nil {
			return err
		}
		m, err := conn.Receive(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "bot: ", wechatws.Printable(m.Text()))
	}
	if err := conn.Close(loggedInElsewhere, "logged in elsewhere"); err != nil {
		return err
	}
	fmt.Fprintln(out, "the bot has ended:", <-over)
	return nil
}
