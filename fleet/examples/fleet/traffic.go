package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom"
)

// traffic are the messages of visitors and of the fleet.
type traffic struct {
	s *show

	said     atomic.Int64 // messages sent by visitors
	heard    atomic.Int64 // of these, handled messages
	echoed   atomic.Int64 // handled echoes of messages of the fleet
	again    atomic.Int64 // messages handled once more
	disorder atomic.Int64 // messages handled out of their room's order

	mu      sync.Mutex
	sent    []int // numbers of the messages for which Send returned nil
	refused int   // number of those for which it returned an error
	last    error

	working sync.WaitGroup
	talking sync.WaitGroup
	hush    context.CancelFunc
}

// pace is the interval between two messages of visitors, and of the fleet.
const pace = 20 * time.Millisecond

func (t *traffic) start(ctx context.Context) error {
	h, err := t.s.fleet.NewHandlers("counter", fleet.WithFromStart())
	if err != nil {
		return err
	}
	var mu sync.Mutex
	last, seen := map[string]uint64{}, map[uint64]bool{}
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, c liveroom.Comment) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[m.Seq] {
			t.again.Add(1)
			return nil
		}
		if m.Seq < last[m.Room] {
			t.disorder.Add(1)
		}
		last[m.Room], seen[m.Seq] = m.Seq, true
		if _, ours := sentNumber(string(c.Content)); ours {
			t.echoed.Add(1)
		} else {
			t.heard.Add(1)
		}
		return nil
	})
	t.working.Go(func() { _ = h.Run(ctx) })

	var talking context.Context
	talking, t.hush = context.WithCancel(ctx)
	t.every(talking, 1, func(n int, room string) {
		if t.s.backend.say(room, fmt.Sprint("hello ", n)) == nil {
			t.said.Add(1)
		}
	})
	t.every(talking, 2, func(n int, room string) {
		text := fmt.Sprint(sentPrefix, n)
		err := t.s.fleet.Send(ctx, room, liveroom.CommentCommand{RoomID: liveroom.Str(room), FromName: "fleet", Content: text},
			fleet.ConfirmedBy(fleet.Match{Type: "message", Fields: map[string]any{"content": text}}))
		t.mu.Lock()
		defer t.mu.Unlock()
		if err != nil {
			t.refused, t.last = t.refused+1, err
			return
		}
		t.sent = append(t.sent, n)
	})
	return nil
}

// stop ends the traffic, and returns when the last message is sent.
func (t *traffic) stop() {
	t.hush()
	t.talking.Wait()
}

// every calls do at intervals, for a random room.
func (t *traffic) every(ctx context.Context, stream uint64, do func(n int, room string)) {
	random := rand.New(rand.NewPCG(t.s.seed, stream))
	t.talking.Go(func() {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				do(n, t.s.roomID(random.IntN(t.s.rooms)))
			}
		}
	})
}

// undelivered returns the messages for which Send returned nil and which the backend has not received.
func (t *traffic) undelivered(arrived map[int]int) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, number := range t.sent {
		if arrived[number] == 0 {
			n++
		}
	}
	return n
}

// sendings returns for how many messages Send has returned nil, and for how many an error.
func (t *traffic) sendings() (taken, refused int, last error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sent), t.refused, t.last
}
