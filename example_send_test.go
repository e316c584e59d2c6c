package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A comment is worthless after a minute, and the answer to a click after a moment.
func ExampleSendOption() {
	client, err := wechatws.New("ws://127.0.0.1:1")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	fmt.Println(client.Send(ctx, say{"message", "hello"}, wechatws.ExpireAfter(time.Minute)))
	fmt.Println(client.Send(ctx, say{"message", "clicked"}, wechatws.FailFast()))
	fmt.Println(client.Close(wechatws.StatusNormalClosure, ""))
	// Output:
	// <nil>
	// wechatws: not open
	// wechatws: 1 message was not delivered
}

// A message that has not been written in time is dropped, and reported.
func ExampleExpireAfter() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	reported := make(chan error)
	client.OnError(func(_ context.Context, err error) { reported <- err })

	ctx := context.Background()
	if err := client.Send(ctx, say{"message", "on air in a second"}, wechatws.ExpireAfter(0)); err != nil {
		panic(err)
	}
	if err := client.Connect(ctx); err != nil { // too late
		panic(err)
	}
	fmt.Println(<-reported)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: wechatws: 1 message dropped: message has expired
}

// Text is sent as it is, to servers that expect no JSON.
func ExampleText() {
	server := wstest.NewServer()
	defer server.Close()
	client, err := wechatws.New(server.URL(),
		wechatws.WithLoginMessage(wechatws.Text("AUTH secret")),
		wechatws.WithHeartbeat(wechatws.Heartbeat{Message: wechatws.Text("ping")}))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	if err := client.Send(ctx, wechatws.Text("JOIN 9527")); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(ctx)
	for range 2 {
		m, _ := conn.Receive(ctx)
		fmt.Println(m.Text())
	}
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// AUTH secret
	// JOIN 9527
}

// What is still in the queue at the end is handed back, and may be sent again: here by
// the next client, or by the next process, from a file.
func ExampleWithQueue() {
	server := roomServer()
	defer server.Close()
	ctx := context.Background()

	client, err := wechatws.New("ws://127.0.0.1:1", wechatws.WithQueue(2, 64<<10, wechatws.QueueFail))
	if err != nil {
		panic(err)
	}
	for _, text := range []string{"one", "two", "three"} {
		fmt.Println(client.Send(ctx, say{"message", text}))
	}
	var left *wechatws.UndeliveredError
	if !errors.As(client.Close(wechatws.StatusNormalClosure, ""), &left) {
		return
	}

	next, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	for _, m := range left.Messages {
		if err := next.Send(ctx, m); err != nil {
			panic(err)
		}
	}
	if err := next.Connect(ctx); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(ctx)
	for range left.Messages {
		m, _ := conn.Receive(ctx)
		fmt.Println(m.Text())
	}
	_ = next.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// <nil>
	// <nil>
	// wechatws: outbound queue is full: 2 messages, 76 bytes
	// {"msg_type":"message","content":"one"}
	// {"msg_type":"message","content":"two"}
}
