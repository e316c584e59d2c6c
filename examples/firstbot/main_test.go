package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// The backend is down for an hour. Then the bot joins again, and answers.
func TestAnOutageOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // with a clock of its own
		backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker(), wstest.WithNetwork(wstest.NewNetwork()))
		defer backend.Close()
		b, err := newBot(backend.URL(), wechatws.WithNetDial(backend.DialContext), wechatws.WithProxy(nil))
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan struct{}, 1)
		b.room.OnComment(func(_ context.Context, c liveroom.Comment) {
			if c.Own {
				answered <- struct{}{}
			}
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.run(ctx) }()
		defer func() { stop(); t.Log("run returned", <-ended) }()

		if err := b.room.Joined(ctx); err != nil {
			t.Fatal(err)
		}
		backend.Stop()
		time.Sleep(time.Hour)
		backend.Start()
		time.Sleep(450 * time.Second) // the longest wait between two attempts

		backend.Say("9527", "Hong", "Hello?")
		select {
		case <-answered:
		case <-time.After(time.Minute):
			t.Error("the bot does not answer")
		}
	})
}
