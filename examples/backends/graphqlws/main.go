// Graphqlws is a bot for GraphQL over WebSocket (graphql-transport-ws): a subscription without
// gaps, and a mutation for each event that asks for one.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

type object map[string]any

type event struct {
	N    int
	Text string
}

// A next is a result of an operation: an event, or the answer to a mutation.
type next struct {
	ID      string
	Payload struct {
		Data   struct{ Events, Add event }
		Errors []struct{ Message string }
	}
}

func (n next) Err() error {
	if len(n.Payload.Errors) > 0 {
		return errors.New(n.Payload.Errors[0].Message)
	}
	return nil
}

// operation is the message that starts one.
func operation(id, query string, variables object) object {
	return object{"id": id, "type": "subscribe", "payload": object{"query": query, "variables": variables}}
}

func main() {
	url := flag.String("url", "ws://127.0.0.1:4000/graphql", "of the server; the token is in $TOKEN")
	flag.Parse()
	log.Fatal(run(context.Background(), *url, os.Getenv("TOKEN")))
}

func run(ctx context.Context, url, token string) error {
	client, err := wechatws.New(url,
		wechatws.WithSubprotocols("graphql-transport-ws"),
		wechatws.WithTypeField("type"),
		wechatws.WithoutHeartbeat(),
		wechatws.WithReply(func(m wechatws.Message) (any, error) {
			if m.Type == "ping" {
				return object{"type": "pong"}, nil
			}
			return nil, nil
		}),
		wechatws.WithRetryIf(func(f wechatws.Failure) bool { return f.CloseCode()/100 != 44 && wechatws.DefaultRetryIf(f) }),
	)
	if err != nil {
		return err
	}
	client.AfterConnect(10*time.Second, func(ctx context.Context, s *wechatws.Setup) error {
		_, err := s.Request(ctx, object{"type": "connection_init", "payload": object{"token": token}}, func(m wechatws.Message) bool { return m.Type == "connection_ack" })
		return err
	})
	last := 0
	client.Keep("events", operation("events", "subscription ($after: Int!) { events(after: $after) { n text } }", object{"after": &last}))
	wechatws.On(client, "next", func(ctx context.Context, n next) {
		if n.ID != "events" {
			return // the answer to a mutation
		}
		last = n.Payload.Data.Events.N
		log.Printf("event %d: %s", last, wechatws.Printable(n.Payload.Data.Events.Text))
		if text, found := strings.CutPrefix(n.Payload.Data.Events.Text, "repeat "); found {
			go add(ctx, client, text)
		}
	})
	return client.Run(ctx)
}

func add(ctx context.Context, client *wechatws.Client, text string) {
	answer, err := wechatws.Call[next](ctx, client, operation("add "+text, "mutation ($text: String!) { add(text: $text) { n } }", object{"text": text}))
	log.Printf("added event %d, error: %v", answer.Payload.Data.Add.N, err)
}
