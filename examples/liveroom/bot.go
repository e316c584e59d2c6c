package main

import (
	"context"
	"fmt"
	"log"
	"strings"
	"sync/atomic"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// goods are the goods that the bot sells.
var goods = []liveroom.Goods{
	{ID: liveroom.Num(7), Name: "龙井 Longjing tea", Price: liveroom.Str("9.90")},
	{ID: liveroom.Num(8), Name: "盖碗 Gaiwan", Price: liveroom.Str("25.00")},
}

// backlog is how many comments of the bot may wait; an answer that waits longer comes too late.
const backlog = 16

// A bot says one comment after the other.
type bot struct {
	room    *liveroom.Room
	lines   chan string
	dropped atomic.Int64 // lines, since one was said
}

// newBot registers callbacks that fill the shelf and answer comments.
func newBot(room *liveroom.Room) *bot {
	bot := &bot{room: room, lines: make(chan string, backlog)}
	room.OnJoin(func(ctx context.Context, j liveroom.JoinEvent) {
		if !j.Own {
			return
		}
		shown := room.Snapshot().Goods
		for _, g := range goods[min(len(shown), len(goods)):] {
			_ = room.PutOnShelf(ctx, g)
		}
	})
	room.OnComment(func(_ context.Context, c liveroom.Comment) {
		if c.Own {
			return
		}
		text := strings.ToLower(string(c.Content))
		switch {
		case strings.Contains(text, "price"), strings.Contains(text, "多少钱"):
			var list []string
			for _, g := range goods {
				list = append(list, fmt.Sprintf("%s ¥%s", g.Name, g.Price))
			}
			bot.say(fmt.Sprintf("@%s %s", c.FromName, strings.Join(list, ", ")))
		case strings.Contains(text, "hello"), strings.Contains(text, "你好"):
			bot.say(fmt.Sprintf("@%s hello! Ask me about the price.", c.FromName))
		}
	})
	room.OnBuy(func(_ context.Context, b liveroom.BuyEvent) {
		bot.say(fmt.Sprintf("谢谢! Thank you! (%s)", b.MsgContent))
	})
	return bot
}

// say queues a line for speak. It does not block: the room may show the line after an outage only,
// and the callbacks go on meanwhile.
func (b *bot) say(line string) {
	select {
	case b.lines <- line:
	default:
		b.dropped.Add(1)
	}
}

// speak says the queued lines, until ctx ends.
func (b *bot) speak(ctx context.Context) {
	for {
		select {
		case line := <-b.lines:
			if err := b.room.SayConfirmed(ctx, line); err != nil && ctx.Err() == nil {
				log.Print(wechatws.Printable(err.Error()))
			}
			if n := b.dropped.Swap(0); n > 0 {
				log.Printf("too busy to say %d lines", n)
			}
		case <-ctx.Done():
			return
		}
	}
}
