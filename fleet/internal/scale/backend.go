//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
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

// A backend has rooms with occasional messages. It keeps no records, which with ten thousand rooms would
// take most of its memory.
type backend struct {
	server *wstest.Server

	mu    sync.Mutex
	look  look
	judge audit.Judge
}

func newBackend() *backend { return &backend{look: look{Rooms: map[string]hold{}}} }

func serveBackend(ended <-chan struct{}) error {
	every, err := time.ParseDuration(os.Getenv(talkingVariable))
	if err != nil {
		return err
	}
	b := newBackend()
	b.server = wstest.NewServer(wstest.WithoutRecords())
	defer b.server.Close()
	b.server.OnConn(b.talk(every))
	b.server.OnMessage(b.hear)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	desk := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		_ = json.NewEncoder(w).Encode(b.look)
	})}
	go func() {
		<-ended
		_ = desk.Close()
	}()
	if err := json.NewEncoder(os.Stdout).Encode([]string{b.server.URL(), "http://" + l.Addr().String()}); err != nil {
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

// ask requests a snapshot of the backend.
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
