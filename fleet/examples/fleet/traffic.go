package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/wstest"
)

// traffic is what is said in the rooms, by visitors and by the fleet.
type traffic struct {
	s *show

	said     atomic.Int64 // by visitors
	handled  atomic.Int64 // of what was said in the rooms, by the handler
	again    atomic.Int64 // of these, handled before
	sent     atomic.Int64 // to rooms, by the fleet
	disorder atomic.Int64 // messages handled out of their room's order

	working sync.WaitGroup
	stop    context.CancelFunc // of talking
}

// pace is how often a visitor says something, and how often something is sent.
const pace = 20 * time.Millisecond

func (t *traffic) start(ctx context.Context) error {
	h, err := t.s.fleet.NewHandlers(fleet.HandlersConfig{Group: "counter", FromStart: true})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	last := map[string]uint64{}
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, c liveroom.Comment) error {
		mu.Lock()
		defer mu.Unlock()
		if m.Attempt > 1 && m.Seq == last[m.Room] {
			t.again.Add(1)
			return nil
		}
		if m.Seq <= last[m.Room] {
			t.disorder.Add(1)
		}
		last[m.Room] = m.Seq
		t.handled.Add(1)
		return nil
	})
	t.working.Go(func() { _ = h.Run(ctx) })

	talking, stop := context.WithCancel(ctx)
	t.stop = stop
	t.every(talking, func(n int) {
		t.s.backend.Say(t.s.roomID(rand.IntN(t.s.rooms)), "visitor", fmt.Sprint("hello ", n))
		t.said.Add(1)
	})
	t.every(talking, func(n int) {
		room := t.s.roomID(rand.IntN(t.s.rooms))
		text := fmt.Sprint(sentPrefix, n)
		err := t.s.fleet.Send(talking, room, liveroom.CommentCommand{RoomID: liveroom.Str(room), FromName: "fleet", Content: text},
			fleet.ConfirmedBy(fleet.Match{Type: "message", Fields: map[string]any{"content": text}}))
		if err == nil {
			t.sent.Add(1)
		}
	})
	return nil
}

const sentPrefix = "from the fleet, "

func (t *traffic) every(ctx context.Context, do func(n int)) {
	t.working.Go(func() {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				do(n)
			}
		}
	})
}

// received counts what the backend has got of what was sent: each message, and those that
// came more than once.
func received(events []wstest.Event) (messages, duplicates int) {
	times := map[string]int{}
	for _, e := range events {
		if e.Kind != wstest.EventMessage {
			continue
		}
		if _, rest, ok := strings.Cut(e.Message.Text(), sentPrefix); ok {
			number, _, _ := strings.Cut(rest, `"`)
			times[number]++
		}
	}
	for _, n := range times {
		duplicates += n - 1
	}
	return len(times), duplicates
}
