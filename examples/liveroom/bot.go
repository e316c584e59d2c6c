package main

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// goods are the goods that the bot sells.
var goods = []liveroom.Goods{
	{ID: liveroom.Num(7), Name: "龙井 Longjing tea", Price: liveroom.Str("9.90")},
	{ID: liveroom.Num(8), Name: "盖碗 Gaiwan", Price: liveroom.Str("25.00")},
}

// newBot registers callbacks that fill the shelf and answer comments. It has no rate limit,
// since the room is small; examples/bot shows one.
func newBot(room *liveroom.Room) {
	say := func(ctx context.Context, text string) {
		go func() { // the room may show it after an outage only; the callbacks go on meanwhile
			if err := room.SayConfirmed(ctx, text); err != nil && ctx.Err() == nil {
				log.Print(wechatws.Printable(err.Error()))
			}
		}()
	}
	room.OnJoin(func(ctx context.Context, j liveroom.JoinEvent) {
		if !j.Own {
			return
		}
		shown := room.Snapshot().Goods
		for _, g := range goods[min(len(shown), len(goods)):] {
			_ = room.PutOnShelf(ctx, g)
		}
	})
	room.OnComment(func(ctx context.Context, c liveroom.Comment) {
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
			say(ctx, fmt.Sprintf("@%s %s", c.FromName, strings.Join(list, ", ")))
		case strings.Contains(text, "hello"), strings.Contains(text, "你好"):
			say(ctx, fmt.Sprintf("@%s hello! Ask me about the price.", c.FromName))
		}
	})
	room.OnBuy(func(ctx context.Context, b liveroom.BuyEvent) {
		say(ctx, fmt.Sprintf("谢谢! Thank you! (%s)", b.MsgContent))
	})
}
