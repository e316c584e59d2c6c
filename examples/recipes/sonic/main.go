// Sonic encodes and decodes messages with github.com/bytedance/sonic. Other replacements for
// encoding/json are used in the same way: WithCodec takes any value with Marshal and
// Unmarshal.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/bytedance/sonic"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// codec writes the same bytes as encoding/json, and refuses the same values: ConfigStd
// escapes HTML, sorts the keys of maps and checks strings, which ConfigDefault leaves out
// for speed. It also copies strings, so that a retained string does not keep its whole
// message in memory.
//
// Sonic compiles the decoder of a type at its first use. Call sonic.Pretouch for large
// types if the first message must not wait for that. With a version of Go that sonic does
// not support yet, and on processors other than amd64 and arm64, sonic falls back to
// encoding/json; see sonic.APIKind.
var codec = sonic.ConfigStd

// A Comment as it is on the wire. Its tags are those of encoding/json.
type Comment struct {
	Type    string `json:"msg_type"`
	From    string `json:"from_name"`
	Content string `json:"content"`
	Gifts   int64  `json:"gifts,omitempty"`
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
	defer server.Close()
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		fmt.Fprintf(out, "on the wire:  %s\n", wechatws.Printable(m.Data))
		_ = c.Send(m.Text()) // an echo, as in a live room
	})

	client, err := wechatws.New(server.URL(),
		wechatws.WithCodec(codec),
		// Only for the demo: a network in memory, and no heartbeats on the wire.
		wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil), wechatws.WithoutHeartbeat())
	if err != nil {
		return err
	}
	heard := make(chan Comment, 1)
	wechatws.On(client, "message", func(_ context.Context, c Comment) { heard <- c })
	if err := client.Connect(ctx); err != nil {
		return err
	}
	defer client.Close(wechatws.StatusNormalClosure, "")

	for _, c := range []Comment{
		{Type: "message", From: "小红", Content: "666"},
		{Type: "message", From: "Ming", Content: `<b>"tea" & cake</b>`, Gifts: 1<<53 + 1},
	} {
		if err := client.Send(ctx, c); err != nil {
			return err
		}
		select {
		case got := <-heard:
			fmt.Fprintf(out, "in a callback: %s\n", wechatws.Printable(fmt.Sprintf("%+v", got)))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
