package liveroomtest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/wstest"
)

// A member is one connection, in a room or not. Its fields are guarded by the
// backend's mutex.
type member struct {
	backend *Backend
	conn    *wstest.Conn
	id      string
	room    *room
	name    string
	uid     liveroom.Value
	gone    bool // the connection has ended

	joined time.Time // time of the last join
	before *room     // the room that it was in until then
	behind int       // number of messages since, within the session delay

	lastData time.Time
	pings    int // that have been counted as activity
	out      [][]byte
	outBytes int
	wake     chan struct{} // there is something to send
}

// memberOf returns the member of a connection. The first call, by the connection's reader
// or by the goroutine that serves it, makes it.
func (b *Backend) memberOf(c *wstest.Conn) *member {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.members[c]
	if m == nil {
		m = &member{backend: b, conn: c, id: b.newID(), lastData: time.Now(), wake: make(chan struct{}, 1)}
		b.members[c] = m
		if !b.frozen {
			m.send(b.quirks.encode(fields{"msg_type": "init", "client_id": m.id}))
		}
	}
	return m
}

// send queues a message. It is called with the backend's mutex held, so that all members
// receive messages in the same order, and does not wait for a slow client.
func (m *member) send(data []byte) {
	if m.gone || m.outBytes+len(data) > m.backend.quirks.SendBuffer {
		return
	}
	m.out = append(m.out, data)
	m.outBytes += len(data)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// serve sends queued messages, and ends a silent connection, until the connection ends.
func (m *member) serve() {
	defer m.ended()
	kick := m.kick()
	for {
		select {
		case <-m.wake:
		case <-kick:
			kick = m.kick()
		case <-m.conn.Done():
			return
		}
		for {
			m.backend.mu.Lock()
			if len(m.out) == 0 {
				m.backend.mu.Unlock()
				break
			}
			data := m.out[0]
			m.out = m.out[1:]
			m.outBytes -= len(data)
			m.backend.mu.Unlock()
			_ = m.conn.Send(string(data)) // after an error the connection ends
		}
	}
}

// kick ends a connection that has been silent too long. It returns a channel that receives when to call
// it again, or nil.
func (m *member) kick() <-chan time.Time {
	left, ok := m.patience()
	switch {
	case !ok:
		m.backend.end(m.conn)
	case left > 0:
		return time.After(left)
	}
	return nil
}

// patience returns how long the member may remain silent; zero is no limit. ok is false if
// it has been silent too long.
func (m *member) patience() (left time.Duration, ok bool) {
	pings := m.conn.Pings()
	m.backend.mu.Lock()
	defer m.backend.mu.Unlock()
	q := &m.backend.quirks
	if q.KickAfter == 0 {
		return 0, true
	}
	if q.PingsCount && pings > m.pings {
		m.lastData, m.pings = time.Now(), pings
	}
	left = time.Until(m.lastData.Add(q.KickAfter))
	return left, left > 0
}

// ended removes the member from its room, at once or after Quirks.Linger.
func (m *member) ended() {
	b := m.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	m.gone = true
	m.out = nil
	delete(b.members, m.conn)
	if b.quirks.Linger == 0 {
		b.leave(m)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(b.quirks.Linger, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, ok := b.lingers[timer]; ok {
			delete(b.lingers, timer)
			b.leave(m)
		}
	})
	b.lingers[timer] = struct{}{}
}

// receive handles a message from the client.
func (m *member) receive(in wstest.Message) {
	b := m.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	m.lastData = time.Now()
	switch {
	case b.reloads == 0:
		m.handle(in)
	case !b.quirks.ReloadLoses:
		b.held = append(b.held, func() { m.handle(in) })
	}
}

// handle is called with the backend's mutex held.
func (m *member) handle(in wstest.Message) {
	b := m.backend
	var head struct {
		MsgType string `json:"msg_type"`
	}
	if b.frozen || json.Unmarshal(in.Data, &head) != nil {
		return
	}
	r := m.session()
	switch head.MsgType {
	case liveroom.JoinCommand{}.MsgType():
		var c liveroom.JoinCommand
		if json.Unmarshal(in.Data, &c) == nil {
			b.join(m, c)
		}
	case liveroom.CommentCommand{}.MsgType():
		var c liveroom.CommentCommand
		if json.Unmarshal(in.Data, &c) != nil || r == nil || r.muted[m.name] {
			m.refuse()
			return
		}
		if b.quirks.Dropped != "" && strings.Contains(c.Content, b.quirks.Dropped) {
			return
		}
		var but *member
		if b.quirks.NoEcho {
			but = m
		}
		f := b.say(m, fields{"msg_type": head.MsgType})
		content := b.quirks.content(c.Content)
		f["from_name"], f["content"] = c.FromName, b.quirks.shown(content)
		b.comment(r, c.FromName, content, f, but)
	case liveroom.ShelfCommand{}.MsgType():
		var f fields
		if json.Unmarshal(in.Data, &f) != nil || r == nil || r.muted[m.name] {
			m.refuse()
			return
		}
		if !b.quirks.SayWho {
			delete(f, "client_id")
		}
		b.broadcast(r, f, nil)
	}
}

// session returns the room in the session that a message is handled with, or nil. The
// gateway detects that the first message after a join has an old session, but not that
// those after it have.
func (m *member) session() *room {
	if time.Since(m.joined) < m.backend.quirks.SessionDelay {
		if m.behind++; m.behind > 1 {
			return m.before
		}
	}
	return m.room
}

// refuse answers a message that is not accepted. Without a room there is no answer.
func (m *member) refuse() {
	if m.room != nil {
		m.send([]byte(m.backend.quirks.Refusal))
	}
}
