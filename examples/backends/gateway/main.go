// Gateway is a bot for the gateway of Discord, which resumes its session across connections.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

type object map[string]any

type session struct{ id, url string }

func main() {
	url := flag.String("url", "wss://gateway.discord.gg", "of the gateway; the bot's token is in $TOKEN")
	flag.Parse()
	log.Fatal(run(context.Background(), *url, os.Getenv("TOKEN")))
}

func run(ctx context.Context, url, token string) error {
	var current atomic.Pointer[session] // nil: there is none to resume
	var last atomic.Value               // the sequence number of the last event
	beat := func() object { return object{"op": 1, "d": last.Load()} }
	client, err := wechatws.New("",
		wechatws.WithEndpoint(func(_ context.Context, _ int, err error) (wechatws.Endpoint, error) {
			at := url
			if s := current.Load(); s != nil && !errors.As(err, new(*wechatws.DialError)) {
				at = s.url
			}
			return wechatws.Endpoint{URL: at + "?v=10&encoding=json&compress=zlib-stream"}, nil
		}),
		wechatws.WithUnpack(inflate),
		wechatws.WithTypeFunc(func(m wechatws.Message) string { return cmp.Or(m.Field("t"), "op "+m.Field("op")) }),
		wechatws.WithReply(func(m wechatws.Message) (any, error) {
			if m.Type == "op 1" { // the gateway wants a heartbeat now
				return beat(), nil
			}
			return nil, nil
		}),
		wechatws.WithRetryIf(func(f wechatws.Failure) bool {
			return f.CloseCode() != 4004 && f.CloseCode() < 4010 && wechatws.DefaultRetryIf(f)
		}),
	)
	if err != nil {
		return err
	}
	client.AfterConnect(10*time.Second, func(ctx context.Context, s *wechatws.Setup) error {
		hello, err := s.Receive(ctx)
		if err != nil {
			return err
		}
		interval, err := time.ParseDuration(hello.Field("d", "heartbeat_interval") + "ms")
		if err != nil {
			return err
		}
		s.SetHeartbeat(wechatws.Heartbeat{
			First:      rand.N(interval),
			Interval:   interval,
			NewMessage: func(int) (any, error) { return beat(), nil },
			Pong:       func(m wechatws.Message) bool { return m.Type == "op 11" },
		})
		if r := current.Load(); r != nil {
			return s.Send(ctx, object{"op": 6, "d": object{"token": token, "session_id": r.id, "seq": last.Load()}})
		}
		return s.Send(ctx, object{"op": 2, "d": object{"token": token, "intents": 1 << 9, "properties": object{"os": "linux"}}})
	})
	client.OnMessage(func(_ context.Context, m wechatws.Message) {
		switch m.Type {
		case "MESSAGE_CREATE":
			log.Println("message:", wechatws.Printable(m.Field("d", "content")))
		case "READY":
			current.Store(&session{m.Field("d", "session_id"), m.Field("d", "resume_gateway_url")})
		case "op 7":
			client.Disconnect(m.Connection, &wechatws.CloseError{Code: 4000, Err: wechatws.ErrReconnect})
		case "op 9":
			if m.Field("d") != "true" {
				current.Store(nil)
			}
			client.Disconnect(m.Connection, &wechatws.CloseError{Code: 4000, Reason: "invalid session"})
		}
		if seq := m.Field("s"); seq != "" {
			last.Store(json.Number(seq))
		}
	})
	return client.Run(ctx)
}
