// Centrifuge is a bot for Centrifuge and Centrifugo: a channel without gaps, and RPC.
package main

import (
	"bytes"
	"context"
	"flag"
	"log"
	"os"

	"github.com/wechatws/wechatws"
)

type object map[string]any

type publication struct {
	Offset uint64
	Data   string
}

// A reply is any message of the server; it has one of these fields.
type reply struct {
	Error     struct{ Message string }
	Push      struct{ Pub publication }
	RPC       struct{ Data string }
	Subscribe struct {
		Epoch        string
		Offset       uint64
		Publications []publication
	}
}

func main() {
	url := flag.String("url", "ws://127.0.0.1:8000/connection/websocket", "of the server; the token is in $TOKEN")
	flag.Parse()
	log.Fatal(run(context.Background(), *url, os.Getenv("TOKEN")))
}

func run(ctx context.Context, url, token string) error {
	client, err := wechatws.New(url,
		wechatws.WithLoginMessage(object{"id": 1, "connect": object{"token": token}}),
		wechatws.WithoutHeartbeat(),
		wechatws.WithUnpack(func(int) func(wechatws.Message) ([]wechatws.Message, error) { return lines }),
		wechatws.WithReply(func(m wechatws.Message) (any, error) {
			if string(m.Data) == "{}" { // a ping
				return wechatws.Text("{}"), nil
			}
			return nil, nil
		}),
		wechatws.WithRetryIf(func(f wechatws.Failure) bool { return f.CloseCode()%1000 < 500 && wechatws.DefaultRetryIf(f) }),
	)
	if err != nil {
		return err
	}
	var epoch string
	var offset uint64 // of the last publication
	client.Keep("news", object{"id": 2, "subscribe": object{"channel": "news", "recover": true, "epoch": &epoch, "offset": &offset}})
	wechatws.On(client, "", func(ctx context.Context, r reply) {
		if s := r.Subscribe; s.Epoch != "" && s.Epoch != epoch { // another history: begin at its end
			epoch, offset = s.Epoch, s.Offset
		}
		for _, p := range append(r.Subscribe.Publications, r.Push.Pub) {
			if p.Offset > offset {
				offset = p.Offset
				log.Printf("news: %q", p.Data)
				go upper(ctx, client, p.Data)
			}
		}
	})
	return client.Run(ctx)
}

func upper(ctx context.Context, client *wechatws.Client, text string) {
	answer, err := wechatws.Call[reply](ctx, client, object{"rpc": object{"method": "upper", "data": text}})
	log.Println("upper:", wechatws.Printable(answer.RPC.Data), wechatws.Printable(answer.Error.Message), err)
}

// lines returns the documents of a frame.
func lines(m wechatws.Message) (documents []wechatws.Message, err error) {
	for line := range bytes.SplitSeq(bytes.TrimSpace(m.Data), []byte("\n")) {
		documents = append(documents, wechatws.Message{Data: line})
	}
	return documents, nil
}
