package main

import (
	"context"
	"log"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// A demo is a backend with a visitor that keeps the bot busy.
type demo struct{ backend *liveroomtest.Backend }

func newDemo() *demo {
	quirks := liveroomtest.GatewayWorker()
	quirks.SayWho = true
	quirks.Linger = time.Second
	return &demo{liveroomtest.NewBackend(quirks, wstest.WithoutRecords())}
}

// perform plays the visitor. It takes about nine seconds, and returns early when ctx ends.
func (d *demo) perform(ctx context.Context, id liveroom.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	roomID := id.RoomID.String()
	botName := id.Name
	id.Name, id.UserID = "Hong", liveroom.Str("u-hong")
	client, err := wechatws.New(d.backend.URL())
	if err != nil {
		return err
	}
	hong, err := liveroom.New(client, id)
	if err != nil {
		return err
	}
	for d.backend.Viewers(roomID) == 0 { // the bot joins first
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	if err := client.Connect(ctx); err != nil {
		return err
	}
	defer hong.Leave()
	for _, act := range []func() error{
		func() error { return hong.Say(ctx, "Hello everybody") },
		func() error { return hong.Say(ctx, "what is the PRICE of the tea?") },
		func() error { d.backend.Buy(roomID, "Hong", "tea"); return nil },
		func() error {
			log.Print("** the bot's connection is cut")
			d.backend.Kick(roomID, botName)
			return nil
		},
		func() error { return pause(ctx, 3*time.Second) },
		func() error { return hong.Say(ctx, "do you ship to Chengdu?") },
		func() error { return pause(ctx, 2*time.Second) },
	} {
		if err := act(); err != nil {
			return err
		}
		if err := pause(ctx, 600*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d, or returns the error of ctx when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
