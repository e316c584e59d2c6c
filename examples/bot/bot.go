package main

import (
	"context"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// answers maps keywords to answers. The first keyword that a comment contains is answered.
var answers = []struct{ keyword, answer string }{
	{"price", "¥9.90 a bag, ¥25 for three"},
	{"价格", "一袋 9.90 元，三袋 25 元"},
	{"ship", "we ship within 24 hours"},
	{"hello", "hello! ask me about price or shipping"},
}

const (
	pace      = 2 * time.Second  // per comment, on average
	burst     = 3                // comments at once
	backlog   = 16               // comments that may wait; an answer that waits longer comes too late
	patience  = time.Minute      // until the room shows a comment, outages included
	greetOnce = 10 * time.Minute // a viewer that rejoins within this time is not greeted again
)

// A bot greets, answers and thanks, at most as fast as pace and burst allow.
type bot struct {
	room  *liveroom.Room
	lines chan string

	mu      sync.Mutex
	greeted map[string]time.Time
	said    int
}

func newBot(room *liveroom.Room) *bot {
	b := &bot{room: room, lines: make(chan string, backlog), greeted: map[string]time.Time{}}
	room.OnJoin(b.joined)
	room.OnComment(b.heard)
	room.OnBuy(func(_ context.Context, buy liveroom.BuyEvent) {
		b.say(fmt.Sprintf("thank you! (%s)", buy.MsgContent))
	})
	return b
}

// joined greets a viewer that has joined, except the bot itself and viewers that are back
// after a lost connection.
func (b *bot) joined(_ context.Context, j liveroom.JoinEvent) {
	name := string(j.FromName)
	who := name
	if who == "" { // some backends have the name in the notice only
		who = string(j.MsgContent)
	}
	if j.Own || !b.isNew(who, time.Now()) {
		return
	}
	b.say(strings.TrimSpace("welcome! " + name))
}

// isNew reports whether a viewer has not joined within greetOnce.
func (b *bot) isNew(who string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for other, at := range b.greeted { // a room that lives for months must not fill it
		if now.Sub(at) >= greetOnce {
			delete(b.greeted, other)
		}
	}
	_, known := b.greeted[who]
	b.greeted[who] = now
	return !known
}

// heard answers a comment, except the bot's own.
func (b *bot) heard(_ context.Context, c liveroom.Comment) {
	if c.Own {
		return
	}
	text := strings.ToLower(string(c.Content))
	for _, a := range answers {
		if strings.Contains(text, a.keyword) {
			b.say(fmt.Sprintf("%s: %s", c.FromName, a.answer))
			return
		}
	}
}

// say queues a line for speak. It does not block: while a callback waits, all callbacks
// behind it wait too.
func (b *bot) say(line string) {
	select {
	case b.lines <- line:
	default:
		log.Printf("too busy to say: %s", wechatws.Printable(line))
	}
}

// confirm says a line and waits until the room shows it.
func (b *bot) confirm(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return b.room.SayConfirmed(ctx, line)
}

// speak sends the queued lines in order, until ctx ends.
func (b *bot) speak(ctx context.Context) error {
	limit := rate.NewLimiter(rate.Every(pace), burst)
	for {
		select {
		case line := <-b.lines:
			if limit.Wait(ctx) != nil {
				return nil
			}
			if err := b.confirm(ctx, line); err != nil {
				log.Printf("not said: %v", err)
				continue
			}
			b.mu.Lock()
			b.said++
			b.mu.Unlock()
		case <-ctx.Done():
			return nil
		}
	}
}
