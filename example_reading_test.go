package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A message above the limit is skipped, and the connection stays open.
func ExampleWithReadLimit() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Send(strings.Repeat("x", 2000)) })
	client, err := wechatws.New(server.URL(), wechatws.WithReadLimit(1000))
	if err != nil {
		panic(err)
	}
	skipped := make(chan *wechatws.ReadLimitError, 1)
	client.OnError(func(_ context.Context, err error) {
		if tooLarge := (*wechatws.ReadLimitError)(nil); errors.As(err, &tooLarge) {
			skipped <- tooLarge
		}
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println((<-skipped).Size, client.State())
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: 2000 open
}

// Text that is not UTF-8 ends the connection, and the next one follows.
func ExampleWithStrict() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Send("\xff") })
	client, err := wechatws.New(server.URL(), wechatws.WithStrict())
	if err != nil {
		panic(err)
	}
	closed := make(chan wechatws.CloseEvent, 1)
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { closed <- e })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println((<-closed).Code)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: 1007 (invalid frame payload data)
}
