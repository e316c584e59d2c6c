package wechatws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A protocol with ids, and with errors that are a type of the program.
func ExampleCall() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		var asked struct {
			ID   int64  `json:"id"`
			Name string `json:"name"`
		}
		switch _ = json.Unmarshal(m.Data, &asked); asked.Name {
		case "Ming":
			_ = c.Send(fmt.Sprintf(`{"id":%d,"points":40}`, asked.ID))
		case "Hong":
			_ = c.Send(fmt.Sprintf(`{"id":%d,"error":"no such member"}`, asked.ID))
		}
	})
	client, err := wechatws.New(server.URL(), wechatws.WithoutHeartbeat())
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	for _, name := range []string{"Ming", "Hong"} {
		answer, err := wechatws.Call[points](ctx, client, map[string]string{"name": name})
		fmt.Println(answer.Points, err)
	}
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// 40 <nil>
	// 0 no such member
}

// points is an answer, or the error of the protocol.
type points struct {
	Points int    `json:"points"`
	Error  string `json:"error"`
}

func (p points) Err() error {
	if p.Error == "" {
		return nil
	}
	return errors.New(p.Error)
}

// In the setup of a connection, before anything else is sent.
func ExampleCall_setup() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		var asked struct{ ID int64 }
		_ = json.Unmarshal(m.Data, &asked)
		_ = c.Send(fmt.Sprintf(`{"id":%d,"session":"s1"}`, asked.ID))
	})
	client, err := wechatws.New(server.URL(), wechatws.WithoutHeartbeat())
	if err != nil {
		panic(err)
	}
	client.AfterConnect(5*time.Second, func(ctx context.Context, setup *wechatws.Setup) error {
		answer, err := wechatws.Call[struct{ Session string }](ctx, setup, map[string]string{"name": "create"})
		fmt.Println(answer.Session)
		return err
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: s1
}

// In OCPP the id is the second element of an array, in requests and in answers.
func ExampleWithRequestID() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		_ = c.Send(`[3,"19223201",{"currentTime":"2026-11-29T12:00:00Z"}]`)
	})
	client, err := wechatws.New(server.URL(), wechatws.WithoutHeartbeat(), wechatws.WithRequestID("1"))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	answer, err := wechatws.Call[[]any](ctx, client, []any{2, "19223201", "Heartbeat", struct{}{}})
	fmt.Println(answer[2], err)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: map[currentTime:2026-11-29T12:00:00Z] <nil>
}
