package wechatws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// roomServer is a server for the examples: it answers a login, and echoes
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
		fmt.Printf("%v: %q\n", he, he.Body) // the body is not part of the error's text
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

// Disconnect ends a connection that the application finds useless, although the server
// answers pings.
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

// This server closes with 4001 when the account has logged in elsewhere. To come back would
// disconnect the other one.
func ExampleWithRetryIf() {
	server := wstest.NewServer()
	defer server.Close()

	client, err := wechatws.New(server.URL(),
		wechatws.WithRetryIf(func(f wechatws.Failure) bool {
			var closed *wechatws.CloseError
			if errors.As(f.Err, &closed) && closed.Remote && closed.Code == 4001 {
				return false
			}
			return wechatws.DefaultRetryIf(f)
		}))
	if err != nil {
		panic(err)
	}
	failed := make(chan error)
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		if c.To == wechatws.StateFailed {
			failed <- c.Err
		}
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	conn, err := server.NextConn(context.Background())
	if err != nil {
		panic(err)
	}
	_ = conn.Close(4001, "logged in elsewhere")
	var closed *wechatws.CloseError
	fmt.Println(errors.As(<-failed, &closed), closed.Code == 4001)
	// Output: true true
}

// A policy is a function of a Failure, and a test can make one.
func ExampleDefaultRetryIf() {
	refused := &wechatws.HandshakeError{Status: 403}
	fmt.Println(wechatws.DefaultRetryIf(wechatws.Failure{Err: refused}))
	fmt.Println(wechatws.DefaultRetryIf(wechatws.Failure{Err: refused, Opened: true, Repeats: 3}))
	fmt.Println(wechatws.DefaultRetryIf(wechatws.Failure{Err: refused, Opened: true, Repeats: 50, Persistent: true}))
	// Output:
	// false
	// true
	// false
}

// No other attempt mends an account that is closed; a token service that is down may be back
// in a moment.
func ExamplePermanent() {
	errAccountClosed := errors.New("account is closed")
	fetch := func(context.Context) (token string, err error) { return "", errAccountClosed }

	client, err := wechatws.New("", wechatws.WithEndpoint(
		func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) {
			token, err := fetch(ctx)
			if errors.Is(err, errAccountClosed) {
				return wechatws.Endpoint{}, wechatws.Permanent(err)
			}
			if err != nil {
				return wechatws.Endpoint{}, err // is retried
			}
			return wechatws.Endpoint{URL: "wss://live.example.com/ws?token=" + token}, nil
		}))
	if err != nil {
		panic(err)
	}
	err = client.Connect(context.Background())
	fmt.Println(err)
	fmt.Println(errors.Is(err, errAccountClosed), client.State())
	// Output:
	// wechatws: endpoint: account is closed
	// true failed
}

// A later option replaces an earlier one, so that defaults of a program's own can stand first.
func ExampleOption() {
	defaults := []wechatws.Option{wechatws.WithDialTimeout(5 * time.Second), wechatws.WithJitter(0.2)}
	_, err := wechatws.New("wss://live.example.com/ws", append(defaults, wechatws.WithDialTimeout(time.Minute))...)
	fmt.Println(err)
	// Output: <nil>
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

// The first failure ends the client, and the program decides what follows.
func ExampleWithoutReconnect() {
	client, err := wechatws.New("ws://127.0.0.1:1", wechatws.WithoutReconnect())
	if err != nil {
		panic(err)
	}
	fmt.Println(client.Connect(context.Background()) != nil, client.State())
	// Output: true failed
}

// A thousand clients that have lost the same server do not reconnect at the same moment.
func ExampleWithJitter() {
	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithJitter(0.2))
	fmt.Println(err)
	// Output: <nil>
}

// A token store that needs an hour after an outage answers 401 meanwhile.
func ExampleWithPermanentAfter() {
	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithPermanentAfter(time.Hour))
	fmt.Println(err)
	// Output: <nil>
}

func ExampleClient_OnNetworkChange() {
	server := roomServer()
	defer server.Close()
	network := newFakeNetwork(true) // or SystemNetwork()
	client, err := wechatws.New(server.URL(), wechatws.WithNetworkMonitor(network))
	if err != nil {
		panic(err)
	}
	changes := make(chan wechatws.NetworkStatus)
	client.OnNetworkChange(func(_ context.Context, s wechatws.NetworkStatus) { changes <- s })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	network.set(false)
	fmt.Println((<-changes).Type)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: none
}

// This server accepts connections and ends them after 10 s while it is overloaded: the schedule
// restarts only after a connection that has lasted a minute.
func ExampleWithStableAfter() {
	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithStableAfter(time.Minute))
	fmt.Println(err)
	// Output: <nil>
}
