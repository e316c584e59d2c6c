package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

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
