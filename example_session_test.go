package wechatws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

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

// The token is fetched for each connection, since it expires.
func ExampleWithLogin() {
	server := roomServer()
	defer server.Close()
	fetch := func(context.Context) (token string, err error) { return "fresh", nil }

	client, err := wechatws.New(server.URL(), wechatws.WithLogin(func(ctx context.Context) (any, error) {
		token, err := fetch(ctx)
		return login{"login", token}, err // an error is a failed attempt
	}))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(ctx)
	m, _ := conn.Receive(ctx)
	fmt.Println(m.Text())
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: {"msg_type":"login","token":"fresh"}
}

func ExampleWithLoginMessage() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL(), wechatws.WithLoginMessage(login{"login", "secret"}))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(ctx)
	m, _ := conn.Receive(ctx)
	fmt.Println(m.Text())
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: {"msg_type":"login","token":"secret"}
}

// This server answers heartbeats in JSON and not to protocol pings. With Pong the answers are
// measured, and reach no callback.
func ExampleWithHeartbeat() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		if m.Text() == `{"op":1}` {
			_ = c.Send(`{"op":11}`)
		}
	})
	answered := make(chan struct{}, 1)
	client, err := wechatws.New(server.URL(),
		wechatws.WithTypeField("op"),
		wechatws.WithHeartbeat(wechatws.Heartbeat{
			Interval: 20 * time.Millisecond,
			Message:  wechatws.Text(`{"op":1}`),
			Pong:     func(m wechatws.Message) bool { return m.Type == "11" },
		}),
		wechatws.WithTrace(wechatws.Trace{Pong: func(context.Context, wechatws.PingInfo) {
			select {
			case answered <- struct{}{}:
			default:
			}
		}}))
	if err != nil {
		panic(err)
	}
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	<-answered
	fmt.Println(client.Stats().RTT > 0)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: true
}

// A server that closes silent connections on its own, and expects no heartbeat.
func ExampleWithoutHeartbeat() {
	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithoutHeartbeat())
	fmt.Println(err)
	// Output: <nil>
}

// The peer stops answering, and the connection ends after the timeout.
func ExampleWithLiveness() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { c.IgnorePings(true) })
	client, err := wechatws.New(server.URL(), wechatws.WithLiveness(wechatws.Liveness{
		Interval: 20 * time.Millisecond,
		Timeout:  100 * time.Millisecond,
	}))
	if err != nil {
		panic(err)
	}
	closed := make(chan error, 1)
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { closed <- e.Err })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(errors.Is(<-closed, wechatws.ErrHalfOpen))
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: true
}

// A server whose messages have a number in the field "op".
func ExampleWithTypeField() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Send(`{"op":4,"content":"hello"}`) })
	client, err := wechatws.New(server.URL(), wechatws.WithTypeField("op"))
	if err != nil {
		panic(err)
	}
	received := make(chan comment)
	wechatws.On(client, "4", func(_ context.Context, c comment) { received <- c })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println((<-received).Content)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: hello
}

// plainCodec is encoding/json.
type plainCodec struct{}

func (plainCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (plainCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

func ExampleWithCodec() {
	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithCodec(plainCodec{}))
	fmt.Println(err)
	// Output: <nil>
}
