//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/wechatws/wechatws/fleet/internal/audit"
	"github.com/wechatws/wechatws/wstest"
)

// A hold is the holder of a room.
type hold struct {
	Worker string
	Since  time.Time // of the first message
	fence  uint64
	conn   *wstest.Conn
}

// A look is a snapshot of the backend.
type look struct {
	Rooms map[string]hold // that are held
	Twice int             // messages that show that a room is held twice
	Words int64           // messages from holders, heartbeats included
	Said  int64           // messages to holders
}

// A backend has rooms with occasional messages, and keeps no records of them.
type backend struct {
	mu    sync.Mutex
	look  look
	judge audit.Judge
}

// ports is how many ports the backend has. From one address to one port there are no more connections than
// ephemeral ports, and to find one that is free takes Linux milliseconds when half of them, some 14,000, are taken.
const ports = 4

func newBackend() *backend { return &backend{look: look{Rooms: map[string]hold{}}} }

func serveBackend(ended <-chan struct{}) error {
	every, err := time.ParseDuration(os.Getenv(talkingVariable))
	if err != nil {
		return err
	}
	b := newBackend()
	var urls [ports]string
	for i := range urls {
		server := wstest.NewServer(wstest.WithoutRecords())
		defer server.Close()
		server.OnConn(b.talk(every))
		server.OnMessage(b.hear)
		urls[i] = server.URL()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	desk := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		now := b.look
		// Often asked: of many rooms only what is needed.
		if rooms, _ := strconv.Atoi(r.FormValue("rooms")); len(now.Rooms) < rooms || rooms > 0 && countOf(now, r.FormValue("not")) > 0 {
			now.Rooms = nil
		}
		_ = json.NewEncoder(w).Encode(now)
	})}
	go func() {
		<-ended
		_ = desk.Close()
	}()
	if err := json.NewEncoder(os.Stdout).Encode(append(urls[:], "http://"+l.Addr().String())); err != nil {
		return err
	}
	if err := desk.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// hear records a message from a room's holder, with the time of its arrival: a busy backend may read the
// messages of two connections in another order.
func (b *backend) hear(c *wstest.Conn, m wstest.Message) {
	room, worker, fence := audit.Holder(c.Request())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look.Words++
	if b.judge.Twice(room, worker, fence, m.At) {
		b.look.Twice++
	}
	now := b.look.Rooms[room]
	if now.conn == nil || fence > now.fence || fence == now.fence && c.ID() > now.conn.ID() {
		b.look.Rooms[room] = hold{worker, m.At, fence, c}
	}
}

// talk sends messages on a connection at intervals, until the connection ends.
func (b *backend) talk(every time.Duration) func(*wstest.Conn) {
	return func(c *wstest.Conn) {
		// Connections that were opened together do not send at the same time.
		first := time.Duration(c.ID()) * 7919 * time.Millisecond % every
		timer := time.NewTimer(first)
		defer timer.Stop()
		for n := 0; ; n++ {
			select {
			case <-c.Done():
				b.gone(c)
				return
			case <-timer.C:
				timer.Reset(every)
			}
			if c.Send(fmt.Sprintf(`{"msg_type":"message","from_name":"visitor","content":"what does the tea cost? %d"}`, n)) == nil {
				b.mu.Lock()
				b.look.Said++
				b.mu.Unlock()
			}
		}
	}
}

func (b *backend) gone(c *wstest.Conn) {
	room := c.Request().URL.Query().Get("room")
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.look.Rooms[room].conn == c {
		delete(b.look.Rooms, room)
	}
}

// ask requests a snapshot of the backend, at its desk.
func ask(ctx context.Context, desk string) (now look, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, desk, nil)
	if err != nil {
		return now, err
	}
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		return now, err
	}
	defer r.Body.Close()
	return now, json.NewDecoder(r.Body).Decode(&now)
}
