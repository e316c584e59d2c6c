package simulation_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/wechatws/wechatws/wstest"
)

// A backend is the server that the rooms' clients are connected to.
type backend struct {
	w   *world
	srv *wstest.Server
}

func newBackend(w *world) *backend {
	b := &backend{w: w, srv: wstest.NewServer(wstest.WithNetwork(w.network), wstest.WithoutRecords())}
	b.srv.OnConn(func(c *wstest.Conn) { b.w.account.connected(c) })
	b.srv.OnMessage(b.receive)
	return b
}

// words are the fields of all messages between rooms and the backend.
type words struct {
	Type string `json:"msg_type"`
	Room string `json:"room,omitempty"`
	N    int    `json:"n,omitempty"`
}

// Types of messages: what a client sends again and again, what the backend says, what it is sent, and what it
// is sent and confirms.
const beat, said, note, question, answer = "beat", "said", "note", "question", "answer"

// receive is called for each message of a client.
func (b *backend) receive(c *wstest.Conn, m wstest.Message) {
	var v words
	if json.Unmarshal(m.Data, &v) != nil {
		return // a heartbeat of the client itself
	}
	b.w.account.written(c, v)
	if v.Type == question {
		_ = c.SendJSON(words{answer, v.Room, v.N})
	}
}

// say sends a message from a room, if it is connected.
func (b *backend) say(room string) {
	if c, n := b.w.account.speaker(room); c != nil {
		_ = c.SendJSON(words{said, room, n})
	}
}

// fenceOf returns the room and the fence that a connection was made for.
func fenceOf(c *wstest.Conn) (room string, fence uint64, worker string) {
	q := c.Request().URL.Query()
	fence, _ = strconv.ParseUint(q.Get("fence"), 10, 64)
	return q.Get("room"), fence, q.Get("worker")
}

// endpoint returns the address of a room.
func (b *backend) endpoint(room string) string { return b.srv.URL() + "?room=" + room }

// silent returns the rooms that no holder has written in for so long.
func (a *account) silent(longest time.Duration) (rooms []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.names {
		if r := a.rooms[name]; r.removed.IsZero() && time.Since(r.wrote) > longest {
			rooms = append(rooms, fmt.Sprintf("%s (for %v)", name, time.Since(r.wrote).Round(time.Millisecond)))
		}
	}
	return rooms
}
