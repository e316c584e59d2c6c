// Rooms keeps 500 live rooms joined in one process. When their server restarts, no second has more joins
// than allowed.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

const (
	rooms    = 500
	joinRate = 200 // a second
)

// A house is the bots of many rooms, and when each of them has joined.
type house struct {
	*liveroom.Rooms
	mu     sync.Mutex
	joined []time.Time
}

// newHouse makes a house whose clients are made by newClient. A room that its server refuses is
// reported to failed, and does not end the others.
func newHouse(newClient func(context.Context, liveroom.Identity) (*wechatws.Client, error), failed func(room string, err error)) (*house, error) {
	all, err := liveroom.NewRooms(newClient, liveroom.WithJoinRate(joinRate))
	if err != nil {
		return nil, err
	}
	h := &house{Rooms: all}
	liveroom.On(all, func(_ context.Context, r *liveroom.Room, j liveroom.JoinEvent) {
		if j.Own {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.joined = append(h.joined, time.Now())
		}
	})
	liveroom.On(all, func(ctx context.Context, r *liveroom.Room, c liveroom.Comment) {
		if !c.Own {
			_ = r.Say(ctx, "welcome, "+string(c.FromName))
		}
	})
	all.OnFailed(func(_ context.Context, r *liveroom.Room, err error) { failed(r.Identity().RoomID.String(), err) })
	return h, nil
}

// open adds n rooms. It does not wait until they are joined.
func (h *house) open(ctx context.Context, n int) error {
	for i := range n {
		_, err := h.Add(ctx, liveroom.Identity{RoomID: liveroom.Str(fmt.Sprint(i)), UserID: liveroom.Num(42), Name: "bot"},
			liveroom.WithCommentRate(2)) // comments a second in each room
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	backend := newBackend()
	defer backend.Close()
	h, err := newHouse(func(context.Context, liveroom.Identity) (*wechatws.Client, error) {
		return wechatws.New(backend.URL(), wechatws.WithJitter(0.2),
			// Only for the demo, whose network is in memory:
			wechatws.WithNetDial(backend.DialContext), wechatws.WithProxy(nil))
	}, func(room string, err error) { fmt.Fprintf(out, "room %s: %v\n", room, err) })
	if err != nil {
		return err
	}
	if err := h.open(ctx, rooms); err != nil {
		return err
	}
	if err := h.allJoined(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d rooms are joined\n", h.Stats().Joined)

	fmt.Fprintln(out, "** the server restarts, and all connections are lost at the same moment")
	lost := time.Now()
	backend.Stop()
	backend.Start()
	time.Sleep(time.Second)
	fmt.Fprintf(out, "%d rooms are joined, %d are away\n", h.Stats().Joined, h.Stats().Away)
	if err := h.allJoined(ctx); err != nil {
		return err
	}
	fmt.Fprint(out, h.histogram(lost))
	fmt.Fprintf(out, "%d rooms are joined\n", h.Stats().Joined)

	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return h.Shutdown(ctx)
}

// allJoined blocks until every room is joined.
func (h *house) allJoined(ctx context.Context) error {
	for r := range h.All() {
		if err := r.Joined(ctx); err != nil {
			return err
		}
	}
	return nil
}

const bin = 500 * time.Millisecond

// histogram draws the number of rooms that have joined in each bin.
func (h *house) histogram(since time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var counts []int
	for _, at := range h.joined {
		if at.Before(since) {
			continue
		}
		i := int(at.Sub(since) / bin)
		for len(counts) <= i {
			counts = append(counts, 0)
		}
		counts[i]++
	}
	var text strings.Builder
	for i, n := range counts {
		if n > 0 {
			fmt.Fprintf(&text, "back after %.1f s: %3d%s\n", (time.Duration(i) * bin).Seconds(), n, strings.TrimRight(" "+strings.Repeat("#", n/4), " "))
		}
	}
	return text.String()
}

// newBackend stands in for yours.
func newBackend() *liveroomtest.Backend {
	network := wstest.NewNetwork()
	network.SetLatency(5 * time.Millisecond)
	return liveroomtest.NewBackend(liveroomtest.GatewayWorker(), wstest.WithNetwork(network))
}
