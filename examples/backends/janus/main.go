// Janus has a session with the plugin EchoTest of a Janus WebRTC server.
package main

import (
	"context"
	"flag"
	"log"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

func main() {
	url := flag.String("url", "ws://127.0.0.1:8188", "the WebSocket API of Janus")
	flag.Parse()
	log.Fatal(run(context.Background(), *url))
}

func run(ctx context.Context, url string) error {
	client, err := wechatws.New(url, wechatws.WithSubprotocols("janus-protocol"), wechatws.WithTypeField("janus"), wechatws.WithRequestID("transaction"))
	if err != nil {
		return err
	}
	var plugin atomic.Pointer[request] // what is sent to the plugin, in the session that the bot has
	client.AfterConnect(10*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		p, err := attach(ctx, o, plugin.Load())
		if err != nil {
			return err
		}
		plugin.Store(p)
		log.Print("session: ", p.Session)
		keepalive := request{Janus: "keepalive", Transaction: "keepalive", Session: p.Session}
		return o.SetHeartbeat(wechatws.Heartbeat{Interval: 4 * time.Second, Message: keepalive})
	})
	wechatws.On(client, "event", func(_ context.Context, m wechatws.Message) {
		log.Print("echo: ", wechatws.Printable(m.Field("plugindata", "data", "result")))
	})
	wechatws.On(client, "timeout", func(_ context.Context, m wechatws.Message) { // the session has ended, the connection has not
		_ = client.Disconnect(m.Connection, wechatws.ErrReconnect)
	})
	client.OnError(func(_ context.Context, err error) { log.Print("error: ", err) })
	go func() {
		for ; ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
			_ = client.Send(ctx, plugin.Load(), wechatws.FailFast()) // not queued: its session may be gone later
		}
	}()
	return client.Run(ctx)
}
