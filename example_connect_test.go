package wechatws_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

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

func ExampleWithHeader() {
	server := wstest.NewServer()
	defer server.Close()
	client, err := wechatws.New(server.URL(),
		wechatws.WithHeader(http.Header{"Origin": {"https://live.example.com"}}))
	if err != nil {
		panic(err)
	}
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(context.Background())
	fmt.Println(conn.Request().Header.Get("Origin"))
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: https://live.example.com
}

func ExampleWithSubprotocols() {
	server := wstest.NewServer()
	defer server.Close()
	server.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("chat.v1")))
	client, err := wechatws.New(server.URL(), wechatws.WithSubprotocols("chat.v2", "chat.v1"))
	if err != nil {
		panic(err)
	}
	chosen := make(chan string, 1)
	client.OnOpen(func(_ context.Context, e wechatws.OpenEvent) { chosen <- e.Subprotocol })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(<-chosen)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: chat.v1
}

// A server with a certificate of a private authority.
func ExampleWithTLSConfig() {
	server := wstest.NewServer(wstest.WithTLS())
	defer server.Close()
	authorities := x509.NewCertPool()
	authorities.AddCert(server.Certificate()) // or AppendCertsFromPEM
	client, err := wechatws.New(server.URL(), wechatws.WithTLSConfig(&tls.Config{RootCAs: authorities}))
	if err != nil {
		panic(err)
	}
	fmt.Println(client.Connect(context.Background()))
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: <nil>
}

// The backend is reached through one proxy, whatever the environment says.
func ExampleWithProxy() {
	proxy, err := url.Parse("http://proxy.example.com:3128")
	if err != nil {
		panic(err)
	}
	_, err = wechatws.New("wss://live.example.com/ws", wechatws.WithProxy(http.ProxyURL(proxy)))
	fmt.Println(err)
	// Output: <nil>
}

// The connections are made from one address of the machine.
func ExampleWithNetDial() {
	server := wstest.NewServer()
	defer server.Close()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	client, err := wechatws.New(server.URL(), wechatws.WithNetDial(dialer.DialContext))
	if err != nil {
		panic(err)
	}
	fmt.Println(client.Connect(context.Background()))
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: <nil>
}

// A program that depends on nhooyr.io/websocket already needs no second library.
func ExampleWithDialer() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL(), wechatws.WithDialer(nhooyr.Dialer{}))
	if err != nil {
		panic(err)
	}
	fmt.Println(client.Connect(context.Background()))
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: <nil>
}

// A server that accepts the connection and does not answer.
func ExampleWithDialTimeout() {
	server := wstest.NewServer()
	defer server.Close()
	server.AnswerAlways(wstest.NoAnswer())
	client, err := wechatws.New(server.URL(),
		wechatws.WithDialTimeout(50*time.Millisecond), wechatws.WithoutReconnect())
	if err != nil {
		panic(err)
	}
	var failed *wechatws.DialError
	if errors.As(client.Connect(context.Background()), &failed) {
		fmt.Println(failed.Phase, failed.Err)
	}
	// Output: handshake no answer within 50ms: context deadline exceeded
}

// A message above the limit ends the connection, and the next one follows.
func ExampleWithReadLimit() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) { _ = c.Send(strings.Repeat("x", 2000)) })
	client, err := wechatws.New(server.URL(), wechatws.WithReadLimit(1000))
	if err != nil {
		panic(err)
	}
	closed := make(chan error, 1)
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { closed <- e.Err })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	var limit *wechatws.ReadLimitError
	fmt.Println(errors.As(<-closed, &limit), limit.Limit)
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: true 1000
}

func ExampleWithCompression() {
	server := wstest.NewServer()
	defer server.Close()
	server.AnswerAlways(wstest.Accept(wstest.WithCompression()))
	client, err := wechatws.New(server.URL(), wechatws.WithCompression())
	if err != nil {
		panic(err)
	}
	negotiated := make(chan string, 1)
	client.OnOpen(func(_ context.Context, e wechatws.OpenEvent) {
		negotiated <- e.Header.Get("Sec-WebSocket-Extensions")
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(strings.HasPrefix(<-negotiated, "permessage-deflate"))
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: true
}
