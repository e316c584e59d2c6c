package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A view is the content of the page. It is sent as JSON.
type view struct {
	Room    roomView    `json:"room"`
	Conn    connView    `json:"conn"`
	Backend backendView `json:"backend"`
}

type roomView struct {
	Title     string        `json:"title"`
	Joined    bool          `json:"joined"`
	Viewers   int64         `json:"viewers"`
	Followers int64         `json:"followers"`
	Comments  []commentView `json:"comments"` // oldest first
	Notices   []noticeView  `json:"notices"`  // oldest first
	Goods     []goodsView   `json:"goods"`
}

type commentView struct {
	Name    string `json:"name"`
	Content string `json:"content"`
	Own     bool   `json:"own"`
}

type noticeView struct {
	Text string `json:"text"`
	At   int64  `json:"at"` // unix ms
}

type goodsView struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Price string `json:"price"`
	Image string `json:"image"` // a data: URL; of anything else the page shows the name's first character
}

type connView struct {
	State    string       `json:"state"` // idle connecting open waiting offline closed failed
	Attempt  int          `json:"attempt"`
	RetryAt  int64        `json:"retry_at"` // unix ms, 0 when none
	RTTMicro int64        `json:"rtt_us"`
	Opens    int          `json:"opens"`
	Cause    string       `json:"cause"` // of the last disconnect or failed attempt, "" when none
	Log      []noticeView `json:"log"`   // newest state changes, oldest first, at most 50
}

type backendView struct {
	Own bool `json:"own"` // false with -url: then the fault buttons are hidden
	Up  bool `json:"up"`
}

// actions are the actions of the page's buttons. They are called on goroutines of net/http.
type actions interface {
	Say(ctx context.Context, name, text string) error // a visitor's comment into the room
	Cut() error                                       // cuts the bot's connection
	Restart() error                                   // takes the backend down for a few seconds
	Reconnect() error
}

const (
	lookEvery   = 100 * time.Millisecond // so a browser gets at most 10 views a second
	writeWithin = 10 * time.Second       // a browser that reads nothing for as long is dropped
	maxText     = 500                    // runes
	maxName     = 40                     // runes
	maxBody     = 16 << 10               // bytes; above maxText + maxName, however escaped
)

//go:embed page.html
var pageHTML string

// newPage returns the handler of the page, which shows the views that look returns and has
// buttons for do. Event streams end when ctx ends.
//
// Only browsers on this machine may use it. Without the check of the Host a web site could
// point a name of its own at 127.0.0.1, and then read the page and press its buttons.
func newPage(ctx context.Context, look func() view, do actions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", servePage)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		serveEvents(ctx, w, r, look)
	})
	mux.HandleFunc("POST /say", func(w http.ResponseWriter, r *http.Request) {
		name, text, err := readSay(w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, do.Say(r.Context(), name, text))
	})
	mux.HandleFunc("POST /cut", func(w http.ResponseWriter, _ *http.Request) { answer(w, do.Cut()) })
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, _ *http.Request) { answer(w, do.Restart()) })
	mux.HandleFunc("POST /reconnect", func(w http.ResponseWriter, _ *http.Request) { answer(w, do.Reconnect()) })

	sameOrigin := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !isLoopback(r.Host) {
			http.Error(w, "this page is for localhost only", http.StatusForbidden)
			return
		}
		sameOrigin.ServeHTTP(w, r)
	})
}

func isLoopback(host string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = name
	}
	switch host {
	case "localhost", "127.0.0.1", "::1", "[::1]":
		return true
	}
	return false
}

// servePage sends page.html with a fresh nonce, so that the browser runs no script and no
// style but the page's.
func servePage(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'nonce-%[1]s'; "+
		"style-src 'nonce-%[1]s'; connect-src 'self'; img-src data:; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nonce))
	_, _ = io.WriteString(w, strings.ReplaceAll(pageHTML, "{{nonce}}", nonce))
}

// serveEvents sends a view at once, and then each view that differs from the one before.
// Polling needs no hooks in the shown data, and bounds the rate.
func serveEvents(ctx context.Context, w http.ResponseWriter, r *http.Request, look func() view) {
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	// Some ResponseWriters have no deadlines; the stream works without.
	hurry := func() { _ = rc.SetWriteDeadline(time.Now().Add(writeWithin)) }
	defer hurry() // for the end of the response, which net/http writes later

	// The browser's delay before it reconnects a broken stream, in milliseconds.
	if _, err := io.WriteString(w, "retry: 1000\n\n"); err != nil {
		return
	}
	var last []byte
	for {
		now, err := json.Marshal(look())
		if err != nil {
			return // cannot be: a view is strings and numbers
		}
		if !bytes.Equal(now, last) {
			last = now
			hurry()
			if _, err := fmt.Fprintf(w, "data: %s\n\n", now); err != nil {
				return
			}
			if err := rc.Flush(); err != nil {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		case <-r.Context().Done():
			return
		}
	}
}

func readSay(w http.ResponseWriter, r *http.Request) (name, text string, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return "", "", err
	}
	var said struct{ Name, Text string }
	if err := json.Unmarshal(body, &said); err != nil {
		return "", "", fmt.Errorf("not the JSON of a comment: %w", err)
	}
	name, text = strings.TrimSpace(said.Name), strings.TrimSpace(said.Text)
	switch {
	case text == "":
		return "", "", fmt.Errorf("the comment is empty")
	case utf8.RuneCountInString(text) > maxText:
		return "", "", fmt.Errorf("the comment is longer than %d characters", maxText)
	case utf8.RuneCountInString(name) > maxName:
		return "", "", fmt.Errorf("the name is longer than %d characters", maxName)
	}
	return name, text, nil
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
