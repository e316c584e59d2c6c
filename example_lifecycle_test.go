package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func ExampleNew() {
	_, err := wechatws.New("ftp://live.example.com",
		wechatws.WithDialTimeout(-time.Second),
		wechatws.WithJitter(2))
	fmt.Println(err)
	// Output:
	// wechatws: WithDialTimeout(-1s): must be longer than zero
	// wechatws: WithJitter(2): must be from 0 to 1
	// wechatws: url("ftp://live.example.com"): scheme must be ws or wss (http and https are taken as those)
}

func ExampleClient_Connect() {
	server := roomServer()
	defer server.Close()
	server.AnswerAlways(wstest.Status(http.StatusNotFound, nil, "no such room"))

	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	err = client.Connect(context.Background()) // a permanent error; temporary ones are retried
	var he *wechatws.HandshakeError
	if errors.As(err, &he) {
		fmt.Printf("%v: %q\n", he, he.Body) // what the server says is not part of the error
	}
	fmt.Println(client.State())

	server.AnswerAlways(wstest.Accept())
	fmt.Println(client.Connect(context.Background()))
	fmt.Println(client.Connect(context.Background()))
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// server answered 404 Not Found: "no such room"
	// failed
	// <nil>
	// wechatws: already connected or connecting
}

func ExampleClient_Run() {
	server := roomServer()
	defer server.Close()

	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background()) // or signal.NotifyContext
	client.OnOpen(func(context.Context, wechatws.OpenEvent) { cancel() })
	fmt.Println(client.Run(ctx))
	fmt.Println(client.State())
	// Output:
	// <nil>
	// closed
}

func ExampleClient_Close() {
	client, err := wechatws.New("ws://live.example.com/ws")
	if err != nil {
		panic(err)
	}
	_ = client.Send(context.Background(), wechatws.Text(`{"msg_type":"message","content":"never sent"}`))

	err = client.Close(wechatws.StatusNormalClosure, "bye")
	var left *wechatws.UndeliveredError
	if errors.As(err, &left) {
		for _, m := range left.Messages {
			fmt.Printf("not delivered: %s\n", m.Data)
		}
	}
	// Output: not delivered: {"msg_type":"message","content":"never sent"}
}

func ExampleClient_Shutdown() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { fmt.Println("closed with", int(e.Code)) })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	if err := client.Send(context.Background(), say{"message", "bye"}); err != nil {
		panic(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = client.Shutdown(ctx) // everything is written, and all callbacks have run
	var left *wechatws.UndeliveredError
	if errors.As(err, &left) { // it took too long
		fmt.Println(len(left.Messages), "messages to be kept for the next time")
	}
	fmt.Println(client.State(), err)
	// Output:
	// closed with 1000
	// closed <nil>
}

func ExampleClient_Reconnect() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	connections := make(chan int, 2)
	client.OnOpen(func(_ context.Context, e wechatws.OpenEvent) { connections <- e.Connection })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("connection", <-connections)
	if err := client.Reconnect(); err != nil { // such as when the user pulls to refresh
		panic(err)
	}
	fmt.Println("connection", <-connections)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// connection 1
	// connection 2
}

// What only the application can know: that this server has nothing to say any
// more, although it answers pings.
func ExampleClient_Disconnect() {
	server := roomServer()
	defer server.Close()

	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	closed := make(chan wechatws.CloseEvent, 1)
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { closed <- e })
	client.OnOpen(func(_ context.Context, e wechatws.OpenEvent) {
		_ = client.Disconnect(e.Connection, errors.New("no prices for a minute"))
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	defer client.Close(wechatws.StatusNormalClosure, "")
	fmt.Println((<-closed).Err)
	// Output: wechatws: connection ended: close code 1006 (abnormal closure): no prices for a minute
}

// CloseNow is for a process that must end at once: nothing more is written.
func ExampleClient_CloseNow() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(client.CloseNow(), client.State())
	// Output: <nil> closed
}

// Close does not wait for callbacks. Done reports that they have returned.
func ExampleClient_Done() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL(), wechatws.WithLoginMessage(login{"login", "secret"}))
	if err != nil {
		panic(err)
	}
	running := make(chan struct{})
	wechatws.On(client, "init", func(ctx context.Context, _ wechatws.Message) {
		close(running)
		<-ctx.Done() // ends when Close is called
		fmt.Println("the callback returns")
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	<-running
	_ = client.Close(wechatws.StatusNormalClosure, "")
	<-client.Done()
	fmt.Println("all goroutines have ended")
	// Output:
	// the callback returns
	// all goroutines have ended
}
