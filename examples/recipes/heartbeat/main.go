// Heartbeat connects to a server that does not answer protocol pings. The server expects a
// heartbeat in JSON and answers it in JSON; without answers the connection is half-open.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/wechatws/wechatws"
)

type beat struct {
	Type string `json:"cmd"`
	Sent int64  `json:"ts"` // milliseconds since 1970
}

// newClient makes a client for such a server, with a heartbeat each interval. The type of
// its messages is in the field cmd.
func newClient(url string, interval time.Duration, options ...wechatws.Option) (*wechatws.Client, error) {
	return wechatws.New(url, append([]wechatws.Option{
		wechatws.WithTypeField("cmd"),
		wechatws.WithHeartbeat(wechatws.Heartbeat{
			Interval: interval,
			// For a message that differs each time; a fixed one goes into Message.
			NewMessage: func(int) (any, error) { return beat{"heartbeat", time.Now().UnixMilli()}, nil },
			// With Pong no protocol pings are sent, the round-trip time is that of the
			// heartbeat, and no callback receives the answers.
			Pong: func(m wechatws.Message) bool { return m.Type == "heartbeat_ack" },
		}),
		wechatws.WithLiveness(wechatws.Liveness{
			// Only the answers count as signs of life. One of them may be late or lost.
			Timeout:  2*interval + interval/2,
			Interval: interval, // of protocol pings; not used with Pong, but must be below Timeout
		}),
	}, options...)...)
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server := newServer()
	defer server.Close()
	client, err := newClient(server.URL(), 300*time.Millisecond, server.demo()...) // yours: 20 s or so
	if err != nil {
		return err
	}
	say := log.New(out, "", 0).Printf
	client.OnUnknown(func(_ context.Context, m wechatws.Message) { say("callback: %s", wechatws.Printable(m.Data)) })
	closed := make(chan wechatws.CloseEvent, 1)
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { closed <- e })
	if err := client.Connect(ctx); err != nil {
		return err
	}
	defer client.Close(wechatws.StatusNormalClosure, "")

	conn, err := server.NextConn(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		if _, err := conn.Receive(ctx); err != nil {
			return err
		}
	}
	say("3 heartbeats: %d disconnects, %d protocol pings", client.Stats().Disconnects.Total(), conn.Pings())

	say("** the server hangs: it reads heartbeats and answers none")
	server.hang(true)
	select {
	case e := <-closed:
		say("half-open: %v", errors.Is(e.Err, wechatws.ErrHalfOpen))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	server.hang(false)
	conn, err = server.NextConn(ctx)
	if err != nil {
		return err
	}
	if _, err = conn.Receive(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "and connected again")
	return nil
}
