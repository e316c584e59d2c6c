package wechatws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func ExampleClient_Send() {
	server := roomServer()
	defer server.Close()
	ctx := context.Background()
	client, err := wechatws.New(server.URL(), wechatws.WithoutHeartbeat())
	if err != nil {
		panic(err)
	}
	// Accepted now, written as soon as there is a connection.
	fmt.Println(client.Send(ctx, say{"message", "hello"}))
	fmt.Println(client.Stats().Queued, "queued")
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	fmt.Println(client.Flush(ctx))
	conn, _ := server.NextConn(ctx)
	m, _ := conn.Receive(ctx)
	fmt.Println(m.Text())
	_ = client.Close(wechatws.StatusNormalClosure, "")
	fmt.Println(client.Send(ctx, say{"message", "too late"}))
	// Output:
	// <nil>
	// 1 queued
	// <nil>
	// {"msg_type":"message","content":"hello"}
	// wechatws: client is closed
}

// The server's echo of a comment confirms that it has arrived.
func ExampleClient_SendConfirmed() {
	server := roomServer()
	defer server.Close()

	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	defer client.Close(wechatws.StatusNormalClosure, "")

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	echo, err := client.SendConfirmed(ctx, say{"message", "hello"}, func(m wechatws.Message) bool {
		var c comment
		return m.Type == "message" && m.Decode(&c) == nil && c.From == "Ming" && c.Content == "hello"
	})
	fmt.Println(echo.Type, err)
	// Output: message <nil>
}

func ExampleClient_Request() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	answer, err := client.Request(ctx, say{"message", "are you there?"}, func(m wechatws.Message) bool {
		return m.Type == "message" && strings.Contains(string(m.Data), "are you there?")
	})
	fmt.Println(string(answer.Data), err)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: {"content":"are you there?","from_name":"Ming","msg_type":"message"} <nil>
}

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

// A command-line tool sends its messages and ends.
func ExampleClient_Flush() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	for _, text := range []string{"one", "two", "three"} {
		if err := client.Send(ctx, say{"message", text}); err != nil {
			panic(err)
		}
	}
	fmt.Println(client.Flush(ctx), client.Stats().Queued)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: <nil> 0
}

// Binary is sent as a binary message, without the codec.
func ExampleBinary() {
	server := wstest.NewServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	if err := client.Send(ctx, wechatws.Binary{0xca, 0xfe}); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(ctx)
	m, _ := conn.Receive(ctx)
	fmt.Printf("%x\n", m.Data)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: cafe
}

// Without an open connection the error comes at once, and the message is not queued.
func ExampleFailFast() {
	client, err := wechatws.New("wss://live.example.com/ws")
	if err != nil {
		panic(err)
	}
	err = client.Send(context.Background(), say{"message", "now or never"}, wechatws.FailFast())
	fmt.Println(errors.Is(err, wechatws.ErrNotOpen), client.Stats().Queued)
	// Output: true 0
}

// inRoom has a field that is known only when it is written.
type inRoom struct {
	say
	clientID *atomic.Pointer[string]
}

func (m inRoom) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"msg_type": m.Type, "client_id": *m.clientID.Load()})
}

// The server assigns another client_id to each connection. A message that waits in the queue
// is written with that of the connection on which it is sent.
func ExampleEncodeOnWrite() {
	server := wstest.NewServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	ctx, id, unknown := context.Background(), new(atomic.Pointer[string]), "unknown"
	id.Store(&unknown)
	client.AfterConnect(10*time.Second, func(_ context.Context, o *wechatws.Setup) error {
		assigned := fmt.Sprint("connection-", o.Connection) // or from a message of the server
		id.Store(&assigned)
		return nil
	})
	if err := client.Send(ctx, inRoom{say{Type: "enter"}, id}, wechatws.EncodeOnWrite()); err != nil {
		panic(err)
	}
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(ctx)
	m, _ := conn.Receive(ctx)
	fmt.Println(m.Text())
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: {"client_id":"connection-1","msg_type":"enter"}
}

// The server confirms the second copy only.
func ExampleConfirmTimeout() {
	server := wstest.NewServer()
	defer server.Close()
	copies := 0
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		if !strings.Contains(m.Text(), "order") {
			return // a heartbeat
		}
		if copies++; copies == 2 {
			_ = c.Send(`{"msg_type":"confirmed"}`)
		}
	})
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	m, err := client.SendConfirmed(ctx, say{"order", "tea"},
		func(m wechatws.Message) bool { return m.Type == "confirmed" },
		wechatws.ConfirmTimeout(20*time.Millisecond))
	fmt.Println(m.Type, err)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: confirmed <nil>
}

// When the queue is full, the oldest message makes room, and is handed back to OnError.
func ExampleDroppedError() {
	client, err := wechatws.New("ws://127.0.0.1:1", wechatws.WithQueue(1, 64<<10, wechatws.QueueDropOldest))
	if err != nil {
		panic(err)
	}
	reported := make(chan error, 1)
	client.OnError(func(_ context.Context, err error) { reported <- err })
	ctx := context.Background()
	_ = client.Send(ctx, say{"price", "9.90"})
	_ = client.Send(ctx, say{"price", "8.80"})
	var dropped *wechatws.DroppedError
	if errors.As(<-reported, &dropped) {
		fmt.Println(dropped.Err)
		fmt.Printf("%s\n", dropped.Messages[0].Data)
	}
	_ = client.CloseNow()
	// Output:
	// wechatws: outbound queue is full
	// {"msg_type":"price","content":"9.90"}
}
