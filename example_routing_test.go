package wechatws_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A server that wraps its events: {"header":{"event_type":"join"},"event":{}}.
func ExampleWithTypePath() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Send(`{"header":{"event_type":"join"},"event":{"name":"Ann"}}`) })
	client, err := wechatws.New(server.URL(), wechatws.WithTypePath("header", "event_type"))
	if err != nil {
		panic(err)
	}
	type join struct{ Event struct{ Name string } }
	received := make(chan join)
	wechatws.On(client, "join", func(_ context.Context, j join) { received <- j })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println((<-received).Event.Name)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: Ann
}

// JSON-RPC: events have a method, and answers an id. What is not JSON has no type here.
func ExampleWithTypeFunc() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Send(`{"id":1,"result":"pong"}`) })
	client, err := wechatws.New(server.URL(), wechatws.WithTypeFunc(func(m wechatws.Message) string {
		if m.Field("id") != "" {
			return "answer"
		}
		return m.Field("method")
	}))
	if err != nil {
		panic(err)
	}
	received := make(chan string)
	wechatws.On(client, "answer", func(_ context.Context, a struct{ Result string }) { received <- a.Result })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(<-received)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: pong
}

// A server that puts several documents into one message, one a line.
func ExampleWithUnpack() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) {
		_ = c.Send(`{"msg_type":"message","content":"hello"}` + "\n" + `{"msg_type":"message","content":"again"}`)
	})
	client, err := wechatws.New(server.URL(), wechatws.WithUnpack(func(int) func(wechatws.Message) ([]wechatws.Message, error) {
		return func(m wechatws.Message) (lines []wechatws.Message, err error) {
			for line := range bytes.Lines(m.Data) {
				lines = append(lines, wechatws.Message{Data: line})
			}
			return lines, nil
		}
	}))
	if err != nil {
		panic(err)
	}
	received := make(chan comment)
	wechatws.On(client, "message", func(_ context.Context, c comment) { received <- c })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println((<-received).Content, (<-received).Content)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: hello again
}
