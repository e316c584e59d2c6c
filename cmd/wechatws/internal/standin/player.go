package standin

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/recording"
	"github.com/wechatws/wechatws/wstest"
)

// A Replay describes how a recording is served.
type Replay struct {
	*recording.Recording
	Addr      string
	Speed     float64 // 2 is twice as fast; 0 does not wait
	InStep    bool    // send a message only after the client has sent what it had sent before it
	AnyOrigin bool    // also to pages of other sites
	Log       *Log

	network *wstest.Network // in memory, for tests
}

// Run serves the recording once, and returns when its last connection has ended or a second after its last
// refusal, or when ctx ends. Each handshake
// gets what the next attempt of the recording got.
func (r Replay) Run(ctx context.Context) error {
	p := &player{
		Replay: r, heartbeats: map[string]bool{}, seats: map[*http.Request]*seat{}, over: make(chan struct{}),
	}
	p.finish = sync.OnceFunc(func() { close(p.over) })
	for _, attempt := range r.Attempts {
		for _, e := range attempt {
			if e.Heartbeat && e.Text != nil {
				p.heartbeats[*e.Text] = true
			}
		}
	}
	ready := make(chan struct{}) // handshakes wait for it
	options := []wstest.Option{
		wstest.WithAddr(r.Addr), wstest.WithoutRecords(), wstest.WithReadLimit(maxMessage),
		wstest.WithEvents(func(e wstest.Event) { <-ready; r.Log.Event(e) }),
	}
	if r.network != nil {
		options = append(options, wstest.WithNetwork(r.network))
	}
	var server *wstest.Server
	err := listening(func() { server = wstest.NewServer(options...) })
	if err != nil {
		return err
	}
	defer server.Close()
	server.AnswerFunc(p.answer)
	server.OnMessage(p.received)
	server.OnConn(p.play)
	r.Log.Write(Line{Event: "listening", URL: server.URL()})
	close(ready)
	select {
	case <-ctx.Done():
	case <-p.over:
		r.Log.Note("the recording is at its end")
	}
	return nil
}

// A player serves a recording.
type player struct {
	Replay
	heartbeats map[string]bool
	over       chan struct{}
	finish     func() // closes over

	mu    sync.Mutex
	next  int // the attempt of the next handshake
	seats map[*http.Request]*seat
}

// A seat is a connection and its part of the recording.
type seat struct {
	events []recording.Event
	last   bool

	mu      sync.Mutex
	sent    int // messages of the client that are no heartbeats
	changed chan struct{}
}

// answer returns the answer to a handshake.
func (p *player) answer(r *http.Request) wstest.Answer {
	switch {
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		return wstest.Status(http.StatusUpgradeRequired, nil, "this is a WebSocket server\n")
	case !p.AnyOrigin && fromElsewhere(r):
		return wstest.Status(http.StatusForbidden, nil, "pages of other sites may not read the recording; see --any-origin\n")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == len(p.Attempts) {
		p.finish()
		return wstest.CutHandshake(wstest.FIN)
	}
	events := p.Attempts[p.next]
	p.next++
	last := p.next == len(p.Attempts)
	if first := events[0].Event; last && (first == recording.Refused || first == recording.Failed) {
		time.AfterFunc(time.Second, p.finish) // there is no connection whose end is the end; the answer is sent first
	}
	switch first := events[0]; {
	case first.Event == recording.Refused && first.Status >= 200:
		header := http.Header{}
		if first.RetryAfter != "" {
			header.Set("Retry-After", first.RetryAfter)
		}
		return wstest.Status(first.Status, header, http.StatusText(first.Status)+"\n")
	case first.Event == recording.Failed || first.Event == recording.Refused:
		return wstest.CutHandshake(wstest.FIN)
	default:
		p.seats[r] = &seat{events: events, last: last, changed: make(chan struct{})}
		if first.Subprotocol == "" {
			return wstest.Accept()
		}
		return wstest.Accept(wstest.WithSubprotocols(first.Subprotocol))
	}
}

func (p *player) seat(c *wstest.Conn) *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seats[c.Request()]
}

// received counts a message of the client.
func (p *player) received(c *wstest.Conn, m wstest.Message) {
	if !m.Binary && p.heartbeats[m.Text()] {
		return
	}
	s := p.seat(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait waits until the client has sent n messages, or the connection has ended.
func (s *seat) wait(c *wstest.Conn, n int) {
	for {
		s.mu.Lock()
		enough, changed := s.sent >= n, s.changed
		s.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-changed:
		case <-c.Done():
			return
		}
	}
}

// play does on a connection what the server did.
func (p *player) play(c *wstest.Conn) {
	s := p.seat(c)
	defer func() {
		p.mu.Lock()
		delete(p.seats, c.Request())
		p.mu.Unlock()
		if s.last {
			p.finish()
		}
	}()
	defer func() { <-c.Done() }()
	begun, sent := time.Now(), 0
	for _, e := range s.events {
		if e.Event == recording.Received && p.InStep {
			waited := time.Now()
			s.wait(c, sent)
			begun = begun.Add(time.Since(waited)) // what follows is as much later
		}
		if !p.pause(c, begun, e.T-s.events[0].T) {
			return
		}
		switch e.Event {
		case recording.Sent:
			if !e.Heartbeat {
				sent++
			}
		case recording.Received:
			if e.Text != nil {
				_ = c.Send(*e.Text)
			} else {
				_ = c.SendBinary(e.Binary)
			}
		case recording.Closed:
			end(c, e)
			return
		}
	}
	_ = c.Close(1000, "") // the recording ends before the connection
}

// pause waits until seconds of the recording have passed. It returns false if the connection has ended.
func (p *player) pause(c *wstest.Conn, begun time.Time, seconds float64) bool {
	var left time.Duration
	if p.Speed > 0 {
		left = time.Until(begun.Add(time.Duration(seconds / p.Speed * float64(time.Second))))
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.Done():
		return false
	}
}

// end ends a connection as it ended. If the client had cut it, because the server was silent for
// instance, the server remains silent until the client does so again.
func end(c *wstest.Conn, e recording.Event) {
	switch {
	case e.By == recording.Client && e.Code == 0:
	case e.By == recording.Client:
		_ = c.Close(1000, "")
	case e.Code != 0:
		reason := e.Reason
		for len(reason) > 123 || !utf8.ValidString(reason) { // it may have become longer without a secret
			reason = reason[:min(len(reason)-1, 123)]
		}
		_ = c.Close(e.Code, reason)
	case e.Cut == recording.RST:
		c.Cut(wstest.RST)
	default:
		c.Cut(wstest.FIN)
	}
}
