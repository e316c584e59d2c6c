// Migrate-gorilla is the same client twice: old.go is a loop around
// github.com/gorilla/websocket, new.go is its counterpart. Both run the same script, and
// the program prints what the server saw of each.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/gorilla/websocket"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/scene"
	"github.com/wechatws/wechatws/wstest"
)

type login struct {
	Type  string `json:"msg_type"`
	Token string `json:"token"`
}

type comment struct {
	Type    string `json:"msg_type"`
	Content string `json:"content"`
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
	defer server.Close()
	heard := func(c comment) { fmt.Fprintln(out, "received:", wechatws.Printable(c.Content)) }

	fmt.Fprintln(out, "== old: gorilla/websocket")
	err := scene.Play(ctx, out, server, &oldClient{
		url:    server.URL(),
		dialer: &websocket.Dialer{NetDialContext: server.DialContext},
		heard:  heard,
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\n== new: wechatws")
	client, err := newNewClient(server.URL(), heard, wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil))
	if err != nil {
		return err
	}
	return scene.Play(ctx, out, server, client)
}
