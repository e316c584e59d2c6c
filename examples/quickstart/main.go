// Quickstart connects, logs in, prints typed messages, and stays connected.
//
// Without flags it starts a small server, which drops the connection once and restarts
// once while you watch. With -url it connects to a real server, until Ctrl-C:
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -url wss://live.example.com/ws -token secret
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/wechatws/wechatws"
)

// Login is the first message on every connection.
type Login struct {
	MsgType string `json:"msg_type"`
	Token   string `json:"token"`
}

// Comment is one of the messages that the server sends.
type Comment struct {
	From    string `json:"from_name"`
	Content string `json:"content"`
}

func main() {
	url := flag.String("url", "", "the server's ws or wss URL (default: a server of its own)")
	token := flag.String("token", "demo", "the token to log in with")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Quickstart connects, logs in, prints messages, and stays connected. Flags:")
		flag.PrintDefaults()
	}
	flag.Parse()
	log.SetFlags(log.Ltime | log.Lmicroseconds)

	var demo *demoServer
	if *url == "" {
		demo = startDemo()
		*url = demo.URL()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *url, *token, demo)
	stop()
	if demo != nil {
		demo.Close()
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run makes a client, registers its callbacks and runs it.
func run(ctx context.Context, url, token string, demo *demoServer) error {
	options := []wechatws.Option{
		wechatws.WithLoginMessage(Login{MsgType: "login", Token: token}),
	}
	if demo != nil { // the defaults wait 3 s, 10 s and 450 s, too long for a demo
		options = append(options,
			wechatws.WithTiers(wechatws.Tier{Delay: 300 * time.Millisecond, Attempts: 5}, wechatws.Tier{Delay: time.Second}),
			wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 500 * time.Millisecond}),
			wechatws.WithLiveness(wechatws.Liveness{Interval: 400 * time.Millisecond, Timeout: 2 * time.Second}),
		)
	}
	client, err := wechatws.New(url, options...)
	if err != nil {
		return err
	}

	comments := 0
	wechatws.On(client, "message", func(_ context.Context, c Comment) {
		comments++
		log.Printf("%s: %s", wechatws.Printable(c.From), wechatws.Printable(c.Content))
	})
	client.OnUnknown(func(_ context.Context, m wechatws.Message) {
		log.Printf("a message of type %q: %s", m.Type, wechatws.Printable(m.Data))
	})
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		switch {
		case c.RetryIn > 0:
			log.Printf("-- %v: attempt %d in %v, because of: %v", c.To, c.Attempt, c.RetryIn, c.Err)
		default:
			log.Printf("-- %v", c.To)
		}
	})

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if demo != nil {
		go demo.perform(client, cancel)
	}
	err = client.Run(ctx) // nil when ctx ends
	stats := client.Stats()
	fmt.Printf("\n%d connections, %d disconnects survived, %d comments received, round trip %v\n",
		stats.Opens, stats.Disconnects.Total(), comments, stats.SmoothedRTT.Round(time.Microsecond))
	return err
}
