// Heartbeat stays with a server that knows nothing of protocol pings: it wants a
// heartbeat in JSON, answers it in JSON, and is taken for dead when it does not.
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

// newClient makes a client of such a server, whose messages have a cmd rather than a
// msg_type, and who is to be heard of every so often.
func newClient(url string, every time.Duration, options ...wechatws.Option) (*wechatws.Client, error) {
	return wechatws.New(url, append([]wechatws.Option{
		wechatws.WithTypeField("cmd"),
		wechatws.WithHeartbeat(wechatws.Heartbeat{
			Interval: every,
			// For what differs each time; a fixed one goes into Message.
			NewMessage: func() (any, error) { return beat{"heartbeat", time.Now().UnixMilli()}, nil },
			// With Pong no protocol pings are sent, the round-trip time is that of the
			// heartbeat, and no callback is bothered with the answers.
			Pong: func(m wechatws.Message) bool { return m.Type == "heartbeat_ack" },
		}),
		wechatws.WithLiveness(wechatws.Liveness{
			// The answers are now what the client goes by: one of them may be late or
			// lost. Silence of anything else means nothing.
			Timeout:  2*every + every/2,
			Interval: every, // of protocol pings; without a meaning here, but below Timeout
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
	client.OnUnknown(func(_ context.Context, m wechatws.Message) { say("callback: %s", m.Data) })
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

	say("** the server hangs: it takes heartbeats and answers none")
	server.hang(true)
	select {
	case e := <-closed:
		say("taken for dead: %v", errors.Is(e.Err, wechatws.ErrHalfOpen))
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
