// Migrate-recws is the same client twice: old.go is on github.com/recws-org/recws,
// new.go on wechatws. Both run the same script, and the program prints what the server saw
// of each.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

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
	server := wstest.NewServer() // on loopback: recws cannot be given another network
	defer server.Close()
	heard := func(c comment) { fmt.Fprintln(out, "received:", wechatws.Printable(c.Content)) }

	fmt.Fprintln(out, "== old: recws")
	if err := scene.Play(ctx, out, server, newOldClient(server.URL(), heard)); err != nil {
		return err
	}
	fmt.Fprintln(out, "\n== new: wechatws")
	client, err := newNewClient(server.URL(), heard, wechatws.WithProxy(nil))
	if err != nil {
		return err
	}
	return scene.Play(ctx, out, server, client)
}
