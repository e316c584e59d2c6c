package wechatws_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
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

// Many clients are spread over the servers, each in an order of its own.
func ExampleWithEndpoints() {
	urls := []string{"wss://a.live.example.com/ws", "wss://b.live.example.com/ws", "wss://c.live.example.com/ws"}
	for range 100 {
		rand.Shuffle(len(urls), func(i, j int) { urls[i], urls[j] = urls[j], urls[i] })
		if _, err := wechatws.New("", wechatws.WithEndpoints(urls...)); err != nil {
			panic(err)
		}
	}
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

// The cookie of a load balancer leads the next connection to the same server.
func ExampleWithCookieJar() {
	server := wstest.NewServer()
	defer server.Close()
	server.Answer(wstest.Accept(wstest.WithHeader(http.Header{"Set-Cookie": {"server=7"}})))
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	client, err := wechatws.New(server.URL(), wechatws.WithCookieJar(jar))
	if err != nil {
		panic(err)
	}
	for range 2 {
		if err := client.Connect(context.Background()); err != nil {
			panic(err)
		}
		conn, _ := server.NextConn(context.Background())
		fmt.Printf("Cookie: %q\n", conn.Request().Header.Get("Cookie"))
		_ = client.Close(wechatws.StatusNormalClosure, "")
	}
	// Output:
	// Cookie: ""
	// Cookie: "server=7"
}

// A gateway that sends clients to the servers behind it.
func ExampleWithCrossHostRedirects() {
	server, gateway := wstest.NewServer(), wstest.NewServer()
	defer server.Close()
	defer gateway.Close()
	gateway.Answer(wstest.Status(http.StatusFound, http.Header{"Location": {server.URL()}}, ""))
	client, err := wechatws.New(gateway.URL(), wechatws.WithCrossHostRedirects())
	if err != nil {
		panic(err)
	}
	opened := make(chan string, 1)
	client.OnOpen(func(_ context.Context, e wechatws.OpenEvent) { opened <- e.URL })
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(<-opened == server.URL())
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output: true
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

// The backend is reached through one proxy, also if the environment has another.
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

// A program that uses nhooyr.io/websocket already may use it for its client too.
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

// Many clients share a limit on their attempts.
func ExampleClient_BeforeConnect() {
	server := roomServer()
	defer server.Close()
	turns := make(chan struct{}, 2) // at most two connect at a time
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	client.BeforeConnect(func(ctx context.Context, attempt int) error {
		select {
		case turns <- struct{}{}:
			fmt.Println("attempt", attempt)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		if c.From == wechatws.StateConnecting {
			<-turns
		}
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	defer client.Close(wechatws.StatusNormalClosure, "")
	fmt.Println(client.State())
	// Output:
	// attempt 1
	// open
}

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

// A server that must not receive pings, such as one behind a gateway that drops them.
func ExampleWithoutLiveness() {
	_, err := wechatws.New("wss://live.example.com/ws", wechatws.WithoutLiveness())
	fmt.Println(err)
	// Output: <nil>
}

// This server loses messages that arrive in the first moment after a join.
func ExampleSetup_HoldQueue() {
	server := roomServer()
	defer server.Close()
	client, err := wechatws.New(server.URL())
	if err != nil {
		panic(err)
	}
	client.AfterConnect(time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		o.HoldQueue(20 * time.Millisecond)
		return o.Send(ctx, map[string]string{"msg_type": "join"})
	})
	ctx := context.Background()
	if err := client.Send(ctx, say{"message", "hello"}); err != nil { // waits for the setup and for 20 ms
		panic(err)
	}
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(ctx)
	for range 2 {
		m, _ := conn.Receive(ctx)
		fmt.Println(m.Text())
	}
	_ = client.Close(wechatws.StatusNormalClosure, "")
	// Output:
	// {"msg_type":"join"}
	// {"msg_type":"message","content":"hello"}
}
