package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// watched records the events of the bot's connection.
type watched struct {
	client *wechatws.Client

	mu       sync.Mutex
	last     wechatws.StateChange
	retryAt  time.Time
	cause    causeView
	log      []logView
	comments int
	notices  map[string]int
}

// shownLog is the number of state changes that the page shows.
const shownLog = 50

func watch(client *wechatws.Client) *watched {
	w := &watched{client: client, notices: map[string]int{}}
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) { w.changed(c) })
	return w
}

func (w *watched) changed(c wechatws.StateChange) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last, w.retryAt = c, time.Time{}
	if c.RetryIn > 0 {
		w.retryAt = now.Add(c.RetryIn)
	}
	if c.Err != nil {
		w.cause = causeOf(c.Err)
	}
	w.log = append(w.log, logView{
		At: now.UnixMilli(), State: c.To.String(), Attempt: c.Attempt, WaitMS: c.RetryIn.Milliseconds(), Cause: causeOf(c.Err),
	})
	w.log = w.log[max(0, len(w.log)-shownLog):]
}

// view returns the connection, and what happened to it, as the page shows them.
func (w *watched) view() (connView, []logView) {
	stats := w.client.Stats()
	w.mu.Lock()
	defer w.mu.Unlock()
	v := connView{
		State: w.last.To.String(), Attempt: w.last.Attempt, RTTMicro: stats.SmoothedRTT.Microseconds(),
		Opens: stats.Opens, Cause: w.cause,
	}
	if !w.retryAt.IsZero() {
		v.RetryAt = w.retryAt.UnixMilli()
	}
	return v, w.log[:len(w.log):len(w.log)] // its lines do not change
}

// narrate prints what happens; headless has no page.
func narrate(room *liveroom.Room, w *watched) {
	room.OnComment(func(_ context.Context, c liveroom.Comment) {
		log.Printf("%s: %s", wechatws.Printable(c.FromName), wechatws.Printable(c.Content))
		w.mu.Lock()
		defer w.mu.Unlock()
		w.comments++
	})
	room.OnNotice(func(_ context.Context, n liveroom.Notice) {
		ghost := ""
		if n.Ghost {
			ghost = " (the bot's last connection, noticed late)"
		}
		log.Printf("* %s%s", wechatws.Printable(n.Text), ghost)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.notices[n.Type]++
	})
	room.OnShelfChange(func(_ context.Context, s liveroom.ShelfEvent) {
		log.Printf("* shelf %s: %s ¥%s", wechatws.Printable(s.Status), wechatws.Printable(s.GoodsName), wechatws.Printable(s.GoodsPrice.String()))
	})
	room.Client().OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		text := c.To.String()
		if c.RetryIn > 0 {
			text += fmt.Sprintf(": attempt %d in %v", c.Attempt, c.RetryIn)
		}
		if c.Err != nil {
			text += ", because of: " + causeOf(c.Err).Text
		}
		log.Printf("-- %s", wechatws.Printable(text))
	})
}

// summary prints the result. It returns an error if the bot has not reconnected after each
// cut and restart.
func (w *watched) summary(s liveroom.Snapshot, show *stage) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	stats := w.client.Stats()
	fmt.Printf("\nThe room: %d comments, %d joins, %d leaves, %d purchases, %d followers, %d goods on the shelf.\n",
		w.comments, w.notices["join"], w.notices["leave"], w.notices["buy"], s.Followers, len(s.Goods))
	fmt.Printf("The bot:  %d connections, %d disconnects", stats.Opens, stats.Disconnects.Total())
	if show == nil {
		fmt.Println(".")
		return nil
	}
	fmt.Printf(" (%d cut, %d restart of the backend), all survived, round trip %v.\n",
		show.cuts, show.restarts, stats.SmoothedRTT.Round(time.Microsecond))
	if stats.Opens <= show.cuts+show.restarts || show.cuts == 0 || show.restarts == 0 {
		return errors.New("the bot has not reconnected after each cut and restart")
	}
	return nil
}
