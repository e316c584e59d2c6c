package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// The server says that it does not want this client back, and closes the connection.
func ExampleClient_Fail() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) {
		_ = c.Send(`{"msg_type":"disconnect","reconnect":false}`)
		_ = c.Close(1000, "")
	})

	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	type disconnect struct {
		Reconnect bool `json:"reconnect"`
	}
	wechatws.On(client, "disconnect", func(_ context.Context, d disconnect) {
		if !d.Reconnect {
			client.Fail(errors.New("the server does not want this client back"))
		}
	})
	fmt.Println(client.Run(context.Background()))
	fmt.Println(client.State())
	// Output:
	// the server does not want this client back
	// failed
}

// A health check over HTTP.
func ExampleClient_Healthy() {
	server := wstest.NewServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	health := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !client.Healthy(2 * time.Minute) {
			http.Error(w, "not connected", http.StatusServiceUnavailable)
		}
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	defer client.Close(wechatws.StatusNormalClosure, "")
	answer := httptest.NewRecorder()
	health.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	fmt.Println(answer.Code)
	// Output: 200
}
