package main

import (
	"context"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/wechatws/wechatws/liveroom"
)

// answers are what the bot knows. The first keyword that a comment contains counts.
var answers = []struct{ keyword, answer string }{
	{"price", "¥9.90 a bag, ¥25 for three"},
	{"价格", "一袋 9.90 元，三袋 25 元"},
	{"ship", "we ship within 24 hours"},
	{"hello", "hello! ask me about price or shipping"},
}

const (
	pace      = 2 * time.Second  // one line in this time, on average
	burst     = 3                // so many at once
	backlog   = 16               // lines that may wait; more are not worth saying any more
	greetOnce = 10 * time.Minute // who comes back within this has only lost his connection
)

// A bot greets, answers and thanks, and never talks faster than its pace.
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
	room.OnBuy(func(_ context.Context, buy liveroom.Buy) {
		b.say(fmt.Sprintf("thank you! (%s)", buy.MsgContent))
	})
	return b
}

// joined greets who comes in, but neither the bot itself nor somebody whose
// connection was lost and is back.
func (b *bot) joined(_ context.Context, j liveroom.Join) {
	name := string(j.FromName)
	who := name
	if who == "" { // this backend does not say; its notice does
		who = string(j.MsgContent)
	}
	if j.Own || !b.isNew(who, time.Now()) {
		return
	}
	b.say(strings.TrimSpace("welcome! " + name))
}

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

// heard answers a comment, unless the bot has made it.
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

// say leaves a line to speak. Callbacks may block, but then everything behind them
// waits.
func (b *bot) say(line string) {
	select {
	case b.lines <- line:
	default:
		log.Printf("too busy to say: %s", line)
	}
}

// speak says the lines, one after the other, until ctx ends.
func (b *bot) speak(ctx context.Context) error {
	limit := rate.NewLimiter(rate.Every(pace), burst)
	for {
		select {
		case line := <-b.lines:
			if limit.Wait(ctx) != nil {
				return nil
			}
			if err := b.room.Say(ctx, line); err != nil {
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
