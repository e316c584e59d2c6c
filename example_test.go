package wechatws_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// roomServer is a server for the examples: it welcomes who logs in, and echoes
// comments.
func roomServer() *wstest.Server {
	s := wstest.NewServer()
	s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		var in struct {
			Type    string `json:"msg_type"`
			Content string `json:"content"`
		}
		_ = json.Unmarshal(m.Data, &in)
		switch in.Type {
		case "login":
			_ = c.Send(`{"msg_type":"init","client_id":"7f01"}`)
		case "message":
			_ = c.SendJSON(map[string]string{"msg_type": "message", "from_name": "Ming", "content": in.Content})
		}
	})
	return s
}

type login struct {
	Type  string `json:"msg_type"`
	Token string `json:"token"`
}

type say struct {
	Type    string `json:"msg_type"`
	Content string `json:"content"`
}

func Example() {
	server := roomServer()
	defer server.Close()
	ctx := context.Background()

	client, err := wechatws.New(server.URL(), wechatws.WithLoginMessage(login{"login", "secret"}))
	if err != nil {
		panic(err)
	}
	heard := make(chan string)
	wechatws.On(client, "message", func(_ context.Context, c comment) {
		heard <- c.From + " says " + c.Content
	})
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	if err := client.Send(ctx, say{"message", "hello"}); err != nil {
		panic(err)
	}
	fmt.Println(<-heard)
	fmt.Println(client.Close(wechatws.StatusNormalClosure, "bye"))
	// Output:
	// Ming says hello
	// <nil>
}
