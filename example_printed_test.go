package wechatws_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func ExamplePrintable() {
	comment := "\x1b[2J\u202enice\r\nadmin: 茶 ☕"
	fmt.Println(wechatws.Printable(comment))
	// Output: \x1b[2J\u202enice\r\nadmin: 茶 ☕
}

func ExampleWithServerText() {
	server := wstest.NewServer()
	defer server.Close()
	server.Answer(wstest.Status(403, nil, "room 9527 is closed"))

	client, err := wechatws.New(server.URL(), wechatws.WithServerText())
	if err != nil {
		panic(err)
	}
	var refused *wechatws.DialError
	err = client.Connect(context.Background())
	fmt.Println(errors.As(err, &refused), refused.Err)
	// Output: true server answered 403 Forbidden: "room 9527 is closed"
}
