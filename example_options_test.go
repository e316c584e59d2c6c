package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

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
