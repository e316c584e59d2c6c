package main

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/wstest"
)

// A gateway is a stand-in for the gateway of Discord, which cannot be reached by tests. It is
// written from its documentation: hello, identify, resume, heartbeats, the sequence numbers of
// events, the close codes, and one zlib stream for each connection.
type gateway struct {
	*wstest.Server
	t testing.TB

	mu       sync.Mutex
	sessions map[string]*record
	last     *record
	streams  map[*wstest.Conn]*stream
	beats    chan string // the d of heartbeats
	ready    chan *record
	resumed  chan *record
	unknown  atomic.Int64 // payloads that no bot may send
}

// A record is a session, which a client can resume at a URL of its own.
type record struct {
	id, path string
	events   []json.RawMessage // that with sequence number n at n-1
	conn     *wstest.Conn      // nil while the client is away
}

// A stream compresses all messages to one connection.
type stream struct {
	buf bytes.Buffer
	zip *zlib.Writer
}

type payload struct {
	Op int             `json:"op"`
	D  json.RawMessage `json:"d"`
	S  *int            `json:"s"`
	T  *string         `json:"t"`
}

func newGateway(t testing.TB) *gateway {
	g := &gateway{Server: wstest.NewServer(), t: t}
	g.forget()
	g.beats, g.ready, g.resumed = make(chan string, 1000), make(chan *record, 100), make(chan *record, 100)
	g.OnConn(func(c *wstest.Conn) {
		s := &stream{}
		s.zip = zlib.NewWriter(&s.buf)
		assert.Equal(t, "v=10&encoding=json&compress=zlib-stream", c.Request().URL.RawQuery)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.streams[c] = s
		g.send(c, payload{Op: 10, D: json.RawMessage(`{"heartbeat_interval":400}`)})
	})
	g.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.receive(c, m.Data)
	})
	t.Cleanup(g.Close)
	return g
}

// forget ends all sessions, as a restart of the gateway does.
func (g *gateway) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions, g.last, g.streams = map[string]*record{}, nil, map[*wstest.Conn]*stream{}
}

func (g *gateway) receive(c *wstest.Conn, data []byte) {
	p := payload{Op: -1}
	if json.Unmarshal(data, &p) != nil {
		g.unknown.Add(1)
		c.Close(4002, "Decode error.")
		return
	}
	var d struct {
		Token     string
		SessionID string `json:"session_id"`
		Seq       int
	}
	switch p.Op {
	case 1:
		g.beats <- string(p.D)
		g.send(c, payload{Op: 11})
	case 2:
		json.Unmarshal(p.D, &d)
		if d.Token != "secret" {
			c.Close(4004, "Authentication failed.")
			return
		}
		id := fmt.Sprintf("%016x", rand.Uint64())
		s := &record{id: id, path: "/resume-" + id, conn: c}
		g.sessions[id], g.last = s, s
		g.event(s, "READY", map[string]any{"v": 10, "session_id": id, "resume_gateway_url": g.Server.URL() + s.path, "user": map[string]string{"id": "1"}})
		g.ready <- s
	case 6:
		json.Unmarshal(p.D, &d)
		s := g.sessions[d.SessionID]
		if s == nil || d.Token != "secret" || s.path != c.Request().URL.Path || d.Seq > len(s.events) {
			g.send(c, payload{Op: 9, D: json.RawMessage("false")})
			return
		}
		s.conn, g.last = c, s
		for _, e := range s.events[d.Seq:] {
			g.write(c, e)
		}
		g.event(s, "RESUMED", nil)
		g.resumed <- s
	default:
		g.unknown.Add(1)
		c.Close(4001, "Unknown opcode.")
	}
}

// event adds an event to a session, and sends it if the client is there.
func (g *gateway) event(s *record, name string, d any) {
	data, _ := json.Marshal(d)
	seq := len(s.events) + 1
	e, _ := json.Marshal(payload{Op: 0, D: data, S: &seq, T: &name})
	s.events = append(s.events, e)
	if s.conn != nil {
		g.write(s.conn, e)
	}
}

func (g *gateway) send(c *wstest.Conn, p payload) {
	data, _ := json.Marshal(p)
	g.write(c, data)
}

func (g *gateway) write(c *wstest.Conn, data []byte) {
	s := g.streams[c]
	if s == nil {
		return // from before a restart
	}
	s.zip.Write(data)
	s.zip.Flush()
	c.SendBinary(s.buf.Next(s.buf.Len() / 2)) // a message may come in parts
	c.SendBinary(s.buf.Next(s.buf.Len()))
}

// say publishes a message with this text in the last session.
func (g *gateway) say(text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.event(g.last, "MESSAGE_CREATE", map[string]any{"channel_id": "7", "content": text, "author": map[string]string{"id": "2"}})
}

// away ends the connection of the last session, and returns it. What is said from now on is for
// the next one.
func (g *gateway) away(end func(*wstest.Conn)) *wstest.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.last.conn
	g.last.conn = nil
	end(c)
	return c
}
