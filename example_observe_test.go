package wechatws_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// requestID is the key of an identifier in contexts.
type requestID struct{}

// Each attempt gets an identifier: the server finds it in the handshake, and the login
// function in its context. A slow callback is reported.
func ExampleWithTrace() {
	server := roomServer()
	defer server.Close()

	var attempts atomic.Int64
	opened, slow := make(chan struct{}), make(chan string, 1)
	client, err := wechatws.New(server.URL(),
		wechatws.WithTrace(wechatws.Trace{
			DialStart: func(ctx context.Context, i wechatws.DialInfo) context.Context {
				id := fmt.Sprintf("bot-%d", attempts.Add(1))
				i.Header.Set("X-Request-Id", id)
				return context.WithValue(ctx, requestID{}, id)
			},
			Open: func(ctx context.Context, e wechatws.OpenEvent) {
				fmt.Println("connection", e.Connection, "is open:", ctx.Value(requestID{}))
				close(opened)
			},
			MessageDone: func(_ context.Context, i wechatws.MessageInfo) {
				if i.Took >= time.Millisecond {
					slow <- i.Type
				}
			},
		}),
		wechatws.WithLogin(func(ctx context.Context) (any, error) {
			fmt.Println("logging in:", ctx.Value(requestID{}))
			return login{"login", "secret"}, nil
		}))
	if err != nil {
		panic(err)
	}
	wechatws.On(client, "init", func(context.Context, wechatws.Message) { time.Sleep(2 * time.Millisecond) })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	conn, err := server.NextConn(context.Background())
	if err != nil {
		panic(err)
	}
	<-opened
	fmt.Println("the server has seen", conn.Request().Header.Get("X-Request-Id"))
	fmt.Println("slow:", <-slow)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// logging in: bot-1
	// connection 1 is open: bot-1
	// the server has seen bot-1
	// slow: init
}

// The handler leaves out what differs from run to run.
func ExampleWithLogger() {
	server := wstest.NewServer()
	defer server.Close()
	server.AnswerAlways(wstest.Status(404, nil, "no such room"))

	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "err" {
				return slog.Attr{}
			}
			return a
		},
	})
	client, err := wechatws.New(server.URL(), wechatws.WithLogger(slog.New(handler)))
	if err != nil {
		panic(err)
	}
	failed := make(chan struct{})
	client.OnStateChange(func(_ context.Context, change wechatws.StateChange) {
		if change.To == wechatws.StateFailed {
			close(failed)
		}
	})
	_ = client.Connect(context.Background())
	<-failed
	// Output:
	// level=ERROR msg=failed wechatws.attempt=1
}

func ExampleClient_OnStateChange() {
	server := wstest.NewServer()
	defer server.Close()
	server.Answer(wstest.Status(503, nil, "starting"))

	client, err := wechatws.New(server.URL(),
		wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}))
	if err != nil {
		panic(err)
	}
	closed := make(chan struct{})
	client.OnStateChange(func(_ context.Context, change wechatws.StateChange) {
		fmt.Println(change.From, "->", change.To)
		switch change.To {
		case wechatws.StateWaiting:
			fmt.Println("  attempt", change.Attempt, "in", change.RetryIn)
		case wechatws.StateClosed:
			close(closed)
		}
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	_ = client.Close(wechatws.StatusNormalClosure, "")
	<-closed
	// Output:
	// idle -> connecting
	// connecting -> waiting
	//   attempt 2 in 1ms
	// waiting -> connecting
	// connecting -> open
	// open -> closed
}

// A health check: a client that is not open for a minute needs attention.
func ExampleClient_Stats() {
	server := wstest.NewServer()
	defer server.Close()

	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	healthy := func() bool {
		s := client.Stats()
		return s.State == wechatws.StateOpen || time.Since(s.Since) < time.Minute
	}
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	s := client.Stats()
	fmt.Println(s.State, s.Attempts, s.Opens, s.Disconnects.Total(), healthy())
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: open 1 1 0 true
}
