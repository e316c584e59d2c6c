package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wechatws/wechatws/wstest"
)

// A workspace is a stand-in for Slack's Socket Mode, which cannot be reached by tests. It is
// written from its documentation: a URL for one connection from an HTTP call, envelopes that
// must be acknowledged within 3 s and are sent again otherwise, and disconnect messages.
type workspace struct {
	*wstest.Server
	api *httptest.Server

	mu      sync.Mutex
	tickets map[string]bool
	conn    *wstest.Conn // nil while the bot is away
	sent    int
	waiting []*delivery // not acknowledged
	hello   chan bool
	acks    chan time.Duration // how long an envelope waited for its acknowledgement
}

type delivery struct {
	ID      string `json:"envelope_id"`
	Type    string `json:"type"`
	Payload struct {
		Event struct {
			Type    string `json:"type"`
			Channel string `json:"channel"`
			Text    string `json:"text"`
		} `json:"event"`
	} `json:"payload"`
	Retries int       `json:"retry_attempt"`
	At      time.Time `json:"-"`
}

func newWorkspace(t testing.TB) *workspace {
	w := &workspace{Server: wstest.NewServer(), tickets: map[string]bool{}, hello: make(chan bool, 100), acks: make(chan time.Duration, 100)}
	w.api = httptest.NewServer(http.HandlerFunc(w.open))
	w.AnswerFunc(func(r *http.Request) wstest.Answer {
		w.mu.Lock()
		defer w.mu.Unlock()
		ticket := r.URL.Query().Get("ticket")
		if !w.tickets[ticket] {
			return wstest.Status(http.StatusForbidden, nil, "no such ticket")
		}
		delete(w.tickets, ticket)
		return wstest.Accept()
	})
	w.OnConn(func(c *wstest.Conn) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.conn = c
		c.Send(`{"type":"hello","num_connections":1}`)
		for _, e := range w.waiting {
			e.Retries++
			w.send(e)
		}
		w.hello <- true
	})
	w.OnMessage(func(_ *wstest.Conn, m wstest.Message) {
		var ack delivery
		json.Unmarshal(m.Data, &ack)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting = slices.DeleteFunc(w.waiting, func(e *delivery) bool {
			if e.ID == ack.ID {
				w.acks <- time.Since(e.At)
			}
			return e.ID == ack.ID
		})
	})
	t.Cleanup(w.Close)
	t.Cleanup(w.api.Close)
	return w
}

// open is the method apps.connections.open.
func (w *workspace) open(out http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/apps.connections.open" || r.Header.Get("Authorization") != "Bearer xapp-secret" {
		fmt.Fprint(out, `{"ok":false,"error":"invalid_auth"}`)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ticket := fmt.Sprint(len(w.Handshakes()), "-", time.Now().UnixNano())
	w.tickets[ticket] = true
	fmt.Fprintf(out, `{"ok":true,"url":"%s/?ticket=%s"}`, w.Server.URL(), ticket)
}

// say sends an envelope with this text of a channel.
func (w *workspace) say(channel, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	e := &delivery{ID: fmt.Sprint("envelope-", w.sent), Type: "events_api"}
	e.Payload.Event.Type, e.Payload.Event.Channel, e.Payload.Event.Text = "message", channel, text
	w.waiting = append(w.waiting, e)
	w.send(e)
}

func (w *workspace) send(e *delivery) {
	e.At = time.Now()
	if w.conn != nil {
		w.conn.SendJSON(e)
	}
}

// away ends the connection; what is said from now on is for the next one.
func (w *workspace) away(end func(*wstest.Conn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conn
	w.conn = nil
	end(c)
}
