package wechatws_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// MQTT over WebSocket: the first packet of a connection is CONNECT, and nothing may be sent before
// the server's CONNACK. Both are binary messages.
func ExampleSetup_Request() {
	server := wstest.NewServer()
	defer server.Close()
	server.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("mqtt")))
	server.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
		if m.Data[0] == 0x10 {
			_ = conn.SendBinary([]byte{0x20, 2, 0, 0})
		}
	})

	client, err := wechatws.New(server.URL(), wechatws.WithSubprotocols("mqtt"), wechatws.WithoutHeartbeat())
	if err != nil {
		panic(err)
	}
	client.AfterConnect(10*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		connect := wechatws.Binary("\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03bot")
		connack, err := o.Request(ctx, connect, func(m wechatws.Message) bool {
			return m.Binary && len(m.Data) == 4 && m.Data[0] == 0x20
		})
		if err == nil && connack.Data[3] != 0 {
			err = wechatws.Permanent(fmt.Errorf("the server refuses this client: %d", connack.Data[3]))
		}
		return err
	})
	publish := wechatws.Binary("\x30\x05\x00\x01ahi")
	_ = client.Send(context.Background(), publish) // waits in the queue until the connection is open
	fmt.Println(client.Connect(context.Background()))
	_ = client.Flush(context.Background())

	conn, _ := server.NextConn(context.Background())
	for range 2 {
		m, _ := conn.Receive(context.Background())
		fmt.Printf("%d bytes, packet type %d\n", len(m.Data), m.Data[0]>>4)
	}
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// <nil>
	// 17 bytes, packet type 1
	// 7 bytes, packet type 3
}

// The server's first message says how often it expects a heartbeat, which contains the number of the
// last event when it is written.
func ExampleSetup_SetHeartbeat() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(conn *wstest.Conn) {
		_ = conn.Send(`{"op":"hello","interval_ms":20,"seq":50}`)
	})

	client, err := wechatws.New(server.URL(), wechatws.WithTypeField("op"), wechatws.WithoutHeartbeat())
	if err != nil {
		panic(err)
	}
	var last atomic.Int64
	wechatws.On(client, "event", func(_ context.Context, e struct{ Seq int64 }) { last.Store(e.Seq) })
	client.AfterConnect(10*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		m, err := o.Receive(ctx)
		if err != nil {
			return err
		}
		var hello struct {
			Interval int `json:"interval_ms"`
			Seq      int64
		}
		if err := m.Decode(&hello); err != nil {
			return err
		}
		last.Store(hello.Seq)
		return o.SetHeartbeat(wechatws.Heartbeat{
			Interval: time.Duration(hello.Interval) * time.Millisecond,
			NewMessage: func(int) (any, error) {
				return map[string]any{"op": "heartbeat", "seq": last.Load()}, nil
			},
		})
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(context.Background())
	beat, _ := conn.Receive(context.Background())
	fmt.Println(beat.Text())
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: {"op":"heartbeat","seq":50}
}

// A subscription is on every connection once, until it is forgotten.
func ExampleClient_Keep() {
	server := wstest.NewServer()
	defer server.Close()

	client, err := wechatws.New(server.URL(), wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}))
	if err != nil {
		panic(err)
	}
	for _, channel := range []string{"news", "chat"} {
		if err := client.Keep(channel, map[string]string{"subscribe": channel}); err != nil {
			panic(err)
		}
	}
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	for n := 1; n <= 2; n++ {
		conn, _ := server.NextConn(context.Background())
		for range 2 {
			m, _ := conn.Receive(context.Background())
			fmt.Println("connection", n, m.Text())
		}
		conn.Cut(wstest.FIN)
	}
	client.Forget("chat")
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// connection 1 {"subscribe":"news"}
	// connection 1 {"subscribe":"chat"}
	// connection 2 {"subscribe":"news"}
	// connection 2 {"subscribe":"chat"}
}

// A layer on the client knows at once what the server has answered, however long a callback takes.
func ExampleSetup_Observe() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnMessage(func(conn *wstest.Conn, _ wstest.Message) {
		_ = conn.Send(`{"msg_type":"slow"}`)
		_ = conn.Send(`{"msg_type":"accepted"}`)
	})

	client, err := wechatws.New(server.URL(), wechatws.WithoutHeartbeat())
	if err != nil {
		panic(err)
	}
	release, accepted := make(chan struct{}), make(chan string, 1)
	wechatws.On(client, "slow", func(context.Context, struct{}) { <-release })
	client.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
		return o.Observe(func(m wechatws.Message) {
			if m.Type == "accepted" {
				accepted <- m.Type
			}
		})
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	_ = client.Send(context.Background(), wechatws.Text("an order"))
	fmt.Println(<-accepted)
	close(release)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: accepted
}
