package wechatws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

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
		for range time.Tick(10 * time.Millisecond) {
			if client.Send(ctx, say{"message", "hi"}) != nil { // the client is closed
				return
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
	// hi
	// hi
	// hi
	// wechatws: client is closed
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

// OnMessage receives all messages, also those that have no type or are not JSON.
func ExampleClient_OnMessage() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) {
		_ = c.Send(`{"msg_type":"notice","content":"hello"}`)
		_ = c.Send("pong")
		_ = c.SendBinary([]byte{1, 2, 3})
	})
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	messages := make(chan wechatws.Message, 3)
	client.OnMessage(func(_ context.Context, m wechatws.Message) { messages <- m })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	for range 3 {
		m := <-messages
		fmt.Printf("type %q, %d bytes, binary %v\n", m.Type, len(m.Data), m.Binary)
	}
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// type "notice", 39 bytes, binary false
	// type "", 4 bytes, binary false
	// type "", 3 bytes, binary true
}

// The data of a message is reused after the function has returned: what is retained must be
// copied.
func ExampleClient_OnMessageNoCopy() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Send(`{"msg_type":"price","content":"9.90"}`) })
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	last := make(chan []byte, 1)
	client.OnMessageNoCopy(func(_ context.Context, m wechatws.Message) { last <- bytes.Clone(m.Data) })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", <-last)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: {"msg_type":"price","content":"9.90"}
}

// A new message type of the server is noticed instead of being ignored.
func ExampleClient_OnUnknown() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL(), wechatws.WithLoginMessage(login{"login", "secret"}))
	if err != nil {
		panic(err)
	}
	wechatws.On(client, "message", func(context.Context, comment) {})
	unknown := make(chan string)
	client.OnUnknown(func(_ context.Context, m wechatws.Message) { unknown <- m.Type })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("no callback for type", <-unknown)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: no callback for type init
}

func ExampleClient_OnOpen() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	opened := make(chan wechatws.OpenEvent, 1)
	client.OnOpen(func(_ context.Context, e wechatws.OpenEvent) { opened <- e })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	e := <-opened
	fmt.Println("connection", e.Connection, "is open after attempt", e.Attempt)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: connection 1 is open after attempt 1
}

func ExampleClient_OnClose() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Close(1012, "deploying") })
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	closed := make(chan wechatws.CloseEvent, 1)
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { closed <- e })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	e := <-closed
	fmt.Println("connection", e.Connection, "ended, by the peer:", e.Remote)
	fmt.Println(e.Code)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// connection 1 ended, by the peer: true
	// 1012 (service restart)
}

// A message that does not fit the type of its callback is an error, and the connection stays
// open.
func ExampleClient_OnError() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Send(`{"msg_type":"message","content":42}`) })
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	wechatws.On(client, "message", func(context.Context, comment) {})
	reported := make(chan error)
	client.OnError(func(_ context.Context, err error) { reported <- err })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	var unusable *wechatws.DecodeError
	if errors.As(<-reported, &unusable) {
		fmt.Println(unusable.Type, string(unusable.Data))
	}
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: message {"msg_type":"message","content":42}
}

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
