// Devtools opens a page in Chromium, and prints its title and what it writes to its console.
package main

import (
	"context"
	"flag"
	"log"
	"time"

	"github.com/wechatws/wechatws"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:9222", "the address of the browser's DevTools")
	page := flag.String("page", "https://example.org", "the page to watch")
	flag.Parse()
	log.Fatal(run(context.Background(), *url, *page))
}

func run(ctx context.Context, url, page string) error {
	// The browser answers protocol pings, and any other heartbeat must be one of its commands.
	client, err := wechatws.New("", wechatws.WithEndpoint(browser(url)), wechatws.WithTypeField("method"), wechatws.WithoutHeartbeat())
	if err != nil {
		return err
	}
	client.AfterConnect(10*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
		tab, err := wechatws.Call[answer](ctx, o, command{Method: "Target.createTarget", Params: params{"url": page}})
		if err != nil {
			return err
		}
		attach := command{Method: "Target.attachToTarget", Params: params{"targetId": tab.Result.TargetID, "flatten": true}}
		attached, err := wechatws.Call[answer](ctx, o, attach)
		if err != nil {
			return err
		}
		if _, err := wechatws.Call[answer](ctx, o, command{Method: "Runtime.enable", Session: attached.Result.SessionID}); err != nil {
			return err
		}
		// The page may be loading still, and may change its title later, so it is asked for every second.
		return o.SetHeartbeat(wechatws.Heartbeat{Interval: time.Second, Message: askTitle(attached.Result.SessionID)})
	})
	wechatws.On(client, "", func(_ context.Context, a answer) { // answers have no method
		if a.ID == titleID && a.Error == nil {
			log.Print("title: ", wechatws.Printable(a.Result.Result.Value))
		}
	})
	wechatws.On(client, "Runtime.consoleAPICalled", func(_ context.Context, e consoleEvent) { log.Print("console: ", e) })
	client.OnError(func(_ context.Context, err error) { log.Print("error: ", err) })
	return client.Run(ctx)
}
