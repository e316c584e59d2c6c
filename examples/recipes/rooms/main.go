// Rooms keeps 500 rooms connected in one process. When their server restarts, jitter spreads
// the reconnects.
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
	"github.com/wechatws/wechatws/wstest"
)

const (
	rooms  = 500
	pace   = 2 * time.Millisecond // between the first attempts of the rooms
	jitter = 0.2
)

// A house is many rooms of one server, each with its own client.
type house struct {
	clients []*wechatws.Client
	opened  chan time.Time // one for each connection that opens
	welcome chan string    // the room number in each welcome
}

// newHouse makes a client for each room. Options are plain values, which any number of
// clients may share; the URL and the callbacks belong to one client.
func newHouse(url string, options ...wechatws.Option) (*house, error) {
	h := &house{opened: make(chan time.Time, rooms), welcome: make(chan string, rooms)}
	for id := range rooms {
		client, err := wechatws.New(fmt.Sprintf("%s/room/%d", url, id), options...)
		if err != nil {
			return nil, err
		}
		client.OnOpen(func(context.Context, wechatws.OpenEvent) { h.opened <- time.Now() })
		wechatws.On(client, "welcome", func(_ context.Context, m struct{ Room string }) {
			if m.Room != fmt.Sprint(id) {
				m.Room = fmt.Sprintf("%s, in room %d", m.Room, id)
			}
			h.welcome <- m.Room
		})
		h.clients = append(h.clients, client)
	}
	return h, nil
}

// run keeps all rooms connected, and blocks until ctx ends. It uses no errgroup: a permanent
// error of one room, such as one that has been closed down, must not end the others.
func (h *house) run(ctx context.Context, failed func(room int, err error)) {
	var running sync.WaitGroup
	defer running.Wait()
	// Jitter spreads waits, and a client does not wait before its first attempt: without
	// this pace all rooms would connect at once when the process starts.
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for id, client := range h.clients {
		running.Go(func() {
			if err := client.Run(ctx); err != nil {
				failed(id, err)
			}
		})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server := newServer()
	defer server.Close()
	h, err := newHouse(server.URL(),
		wechatws.WithJitter(jitter),
		// Only for the demo, whose network is in memory:
		wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil))
	if err != nil {
		return err
	}

	ctx, leave := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer leave()
	running.Go(func() {
		h.run(ctx, func(room int, err error) { fmt.Fprintf(out, "room %d: %v\n", room, err) })
	})
	if _, err := h.allOpen(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d rooms are open, each has received its own welcome\n", rooms)

	fmt.Fprintln(out, "** the server restarts, and all connections are lost at the same moment")
	lost := time.Now()
	server.Stop(wstest.RST)
	server.Start()
	back, err := h.allOpen(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(out, histogram(lost, back))

	var attempts int
	for _, client := range h.clients {
		attempts += client.Stats().Attempts
	}
	fmt.Fprintf(out, "%d rooms are open, after %d attempts\n", rooms, attempts)
	return nil
}

// allOpen waits until every room has a new connection, and returns when they opened.
func (h *house) allOpen(ctx context.Context) (opened []time.Time, err error) {
	for range rooms {
		select {
		case at := <-h.opened:
			opened = append(opened, at)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	for range rooms {
		select {
		case room := <-h.welcome:
			if strings.Contains(room, "in room") {
				return nil, fmt.Errorf("a welcome to room %s", room)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return opened, nil
}

const bin = 200 * time.Millisecond

// histogram draws the number of connections that opened in each bin.
func histogram(lost time.Time, opened []time.Time) string {
	var counts []int
	for _, at := range opened {
		i := int(at.Sub(lost) / bin)
		for len(counts) <= i {
			counts = append(counts, 0)
		}
		counts[i]++
	}
	var text strings.Builder
	for i, n := range counts {
		if n > 0 {
			fmt.Fprintf(&text, "back after %.1f s: %3d %s\n", (time.Duration(i) * bin).Seconds(), n, strings.Repeat("#", n/4))
		}
	}
	return text.String()
}

const latency = 5 * time.Millisecond

// newServer stands in for yours: it sends a welcome on each connection.
func newServer() *wstest.Server {
	network := wstest.NewNetwork()
	network.SetLatency(latency)
	server := wstest.NewServer(wstest.WithNetwork(network), wstest.WithoutRecords())
	server.OnConn(func(c *wstest.Conn) {
		_ = c.SendJSON(map[string]string{
			"msg_type": "welcome",
			"room":     strings.TrimPrefix(c.Request().URL.Path, "/room/"),
		})
	})
	return server
}
