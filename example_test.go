package wechatws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

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

// A room is joined on every connection, ahead of whatever is queued.
func ExampleClient_AfterConnect() {
	server := roomServer()
	defer server.Close()

	client, err := wechatws.New(server.URL(), wechatws.WithLoginMessage(login{"login", "secret"}))
	if err != nil {
		panic(err)
	}
	client.AfterConnect(10*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		for {
			m, err := o.Receive(ctx)
			if err != nil {
				return err
			}
			var init struct {
				ClientID string `json:"client_id"`
			}
			if m.Type == "init" && m.Decode(&init) == nil {
				fmt.Println("joining as", init.ClientID)
				return o.Send(ctx, map[string]string{"msg_type": "join", "client_id": init.ClientID})
			}
		}
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	defer client.Close(wechatws.StatusNormalClosure, "")
	fmt.Println(client.State())
	// Output:
	// joining as 7f01
	// open
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

func ExampleOn() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL(), wechatws.WithLoginMessage(login{"login", "secret"}))
	if err != nil {
		panic(err)
	}
	done := make(chan struct{})
	type initial struct {
		ClientID string `json:"client_id"`
	}
	remove := wechatws.On(client, "init", func(_ context.Context, m initial) {
		fmt.Println("client_id is", m.ClientID)
		close(done)
	})
	defer remove()
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	<-done
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: client_id is 7f01
}

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

func ExampleClient_Messages() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	go func() {
		if err := client.Connect(ctx); err != nil {
			panic(err)
		}
		for _, text := range []string{"one", "two", "three"} {
			if err := client.Send(ctx, say{"message", text}); err != nil {
				panic(err)
			}
		}
	}()
	n := 0
	for m, err := range client.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		var c comment
		if err := m.Decode(&c); err != nil {
			panic(err)
		}
		fmt.Println(c.Content)
		if n++; n == 3 {
			_ = client.Close(wechatws.StatusNormalClosure, "") // ends the loop
		}
	}
	// Output:
	// one
	// two
	// three
	// wechatws: client is closed
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

// Five attempts a second apart, then one every 30 s.
func ExampleWithTiers() {
	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithTiers(
		wechatws.Tier{Delay: time.Second, Attempts: 5},
		wechatws.Tier{Delay: 30 * time.Second},
	))
	fmt.Println(err)
	// Output: <nil>
}

// Any policy of github.com/cenkalti/backoff/v4 serves as a schedule.
func ExampleWithBackOff() {
	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithBackOff(func() backoff.BackOff {
		return backoff.NewExponentialBackOff(backoff.WithMaxInterval(time.Minute), backoff.WithMaxElapsedTime(0))
	}))
	fmt.Println(err)
	// Output: <nil>
}

// A token that expires is fetched before each attempt. Here the first one has
// expired, and the server says so.
func ExampleWithEndpoint() {
	server := roomServer()
	defer server.Close()
	server.AnswerFunc(func(r *http.Request) wstest.Answer {
		if r.Header.Get("Authorization") != "Bearer token-2" {
			return wstest.Status(http.StatusUnauthorized, nil, "token expired")
		}
		return wstest.Accept()
	})
	client, err := wechatws.New("",
		wechatws.WithEndpoint(func(_ context.Context, attempt int, last error) (wechatws.Endpoint, error) {
			if last != nil {
				fmt.Println("after:", errors.Unwrap(last))
			}
			return wechatws.Endpoint{
				URL:    server.URL(),
				Header: http.Header{"Authorization": {fmt.Sprint("Bearer token-", attempt)}},
			}, nil
		}),
		wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}))
	if err != nil {
		panic(err)
	}
	fmt.Println(client.Connect(context.Background()))
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// after: server answered 401 Unauthorized
	// <nil>
}

// A NetworkMonitor of one's own: here a switch, elsewhere a VPN's status.
func ExampleWithNetworkMonitor() {
	server := roomServer()
	defer server.Close()
	vpn := newFakeNetwork(false)
	client, err := wechatws.New(server.URL(), wechatws.WithNetworkMonitor(vpn))
	if err != nil {
		panic(err)
	}
	states := make(chan wechatws.State, 10)
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) { states <- c.To })
	connected := make(chan error)
	go func() { connected <- client.Connect(context.Background()) }()
	fmt.Println(<-states)
	vpn.set(true)
	fmt.Println(<-connected, <-states, <-states)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// offline
	// <nil> connecting open
}

// The machine's own network, shared by all clients of the process.
func ExampleSystemNetwork() {
	stop := wechatws.SystemNetwork().Watch(func(s wechatws.NetworkStatus) {
		fmt.Println("the network has changed:", s.Connected, s.Type)
	})
	defer stop()

	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithNetworkMonitor(wechatws.SystemNetwork()))
	fmt.Println(err)
	// Output: <nil>
}

func ExampleMessage_Decode() {
	m := wechatws.Message{Data: []byte(`{"msg_type":"message","from_name":"Ming","content":"hi"}`)}
	var c comment
	if err := m.Decode(&c); err != nil {
		panic(err)
	}
	fmt.Println(c.From, "says", c.Content)
	// Output: Ming says hi
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
