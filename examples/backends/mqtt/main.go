// Mqtt publishes a number twice a second to an MQTT broker, and prints what it hears from there.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/wechatws/wechatws"
)

func main() {
	url := flag.String("url", "ws://127.0.0.1:8080/mqtt", "of the broker")
	password := flag.String("password", "secret", "of the user bot")
	limit := flag.Duration("for", 24*time.Hour, "how long to run")
	flag.Parse()
	ctx, stop := context.WithTimeout(context.Background(), *limit)
	defer stop()
	log.Println(run(ctx, *url, "bot", *password, "example/numbers"))
}

func run(ctx context.Context, url, user, password, topic string) error {
	client, err := wechatws.New(url, wechatws.WithSubprotocols("mqtt"), wechatws.WithUnpack(packets),
		wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 4 * time.Second, Message: packet(pingreq), Pong: is(pingresp)}))
	if err != nil {
		return err
	}
	client.AfterConnect(10*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		ack, err := o.Request(ctx, connectAs(user, password), is(connack))
		if err == nil && !admitted(ack) {
			err = wechatws.Permanent(fmt.Errorf("the broker refuses user %q", user))
		}
		return err
	})
	_ = client.Keep(topic, packet(subscribe, []byte{0, 1}, field(topic), []byte{0})) // nothing to encode, no error
	client.OnMessage(func(_ context.Context, m wechatws.Message) {
		if payload, ok := published(m); ok {
			log.Print("heard: ", wechatws.Printable(payload))
		}
	})
	go func() {
		for n := 1; client.Send(ctx, packet(publish, field(topic), fmt.Append(nil, n))) == nil; n++ {
			log.Print("said: ", n)
			time.Sleep(time.Second / 2)
		}
	}()
	return client.Run(ctx)
}
