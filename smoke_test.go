package wechatws_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"github.com/wechatws/wechatws"
)

func TestSmoke(t *testing.T) {
	got := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			_, b, err := c.Read(context.Background())
			if err != nil {
				return
			}
			got <- string(b)
			if string(b) == `"drop"` {
				return
			}
			c.Write(context.Background(), websocket.MessageText, []byte(`{"msg_type":"echo","data":`+string(b)+`}`))
		}
	}))
	defer srv.Close()
	c, err := wechatws.New(srv.URL+"?token=secret", wechatws.WithLoginMessage(map[string]string{"key": "value"}),
		wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 50 * time.Millisecond}),
		wechatws.WithTiers(wechatws.Tier{Delay: 10 * time.Millisecond}))
	require.NoError(t, err)
	c.OnStateChange(func(_ context.Context, s wechatws.StateChange) { fmt.Printf("%+v\n", s) })
	c.OnOpen(func(_ context.Context, s wechatws.OpenEvent) { fmt.Printf("%+v\n", s) })
	c.OnClose(func(_ context.Context, s wechatws.CloseEvent) { fmt.Printf("%+v\n", s) })
	c.OnError(func(_ context.Context, err error) { fmt.Println("error", err) })
	type echo struct{ Data any }
	wechatws.On(c, "echo", func(_ context.Context, e echo) { fmt.Println("echo", e) })
	ctx := context.Background()
	require.NoError(t, c.Connect(ctx))
	require.NoError(t, c.Send(ctx, "hello"))
	m, err := c.Request(ctx, "ask", func(m wechatws.Message) bool { return string(m.Data) == `{"msg_type":"echo","data":"ask"}` })
	require.NoError(t, err)
	fmt.Println(m.Type, string(m.Data))
	require.NoError(t, c.Send(ctx, "drop"))
	require.NoError(t, c.Flush(ctx))
	for s := range got { fmt.Println("got", s); if s == `"drop"` { break } }
	m, err = c.Request(ctx, "ask2", func(m wechatws.Message) bool { return string(m.Data) == `{"msg_type":"echo","data":"ask2"}` })
	fmt.Println(m.Type, string(m.Data), err)
	time.Sleep(120 * time.Millisecond)
	fmt.Printf("%+v\n", c.Stats())
	require.NoError(t, c.Close(1000, "bye"))
}
