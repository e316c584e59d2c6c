package main

import (
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
	"unicode/utf8"
)

// actions are the actions of the page's buttons. They are called on goroutines of net/http.
type actions interface {
	Say(ctx context.Context, name, text string) error // a visitor's comment into the room
	Cut() error                                       // cuts the bot's connection
	Restart() error                                   // takes the backend down for a few seconds
	Reconnect() error
}

const (
	maxText = 500      // runes
	maxName = 40       // runes
	maxBody = 16 << 10 // bytes; above maxText + maxName, however escaped
)

//go:embed page.html
var pageHTML string

// newPage returns the handler of the page, which shows the views that look returns and has
// buttons for do. Event streams end when ctx ends.
//
// Only browsers on this machine may use it, and only from the page itself. Without the check
// of the Host a web site could point a name of its own at 127.0.0.1, and then read the page
// and press its buttons.
func newPage(ctx context.Context, look func() view, do actions) http.Handler {
	mux := http.NewServeMux()
	viewers := make(chan struct{}, maxViewers)
	mux.HandleFunc("GET /{$}", servePage)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		select {
		case viewers <- struct{}{}:
			defer func() { <-viewers }()
			serveEvents(ctx, w, r, look)
		default:
			w.Header().Set("Retry-After", "2")
			http.Error(w, "the page is open too many times", http.StatusServiceUnavailable)
		}
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

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch {
		case !isLoopback(r.Host):
			http.Error(w, "this page is for localhost only", http.StatusForbidden)
		case isForeign(r):
			http.Error(w, "this is not for other web sites", http.StatusForbidden)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// isForeign reports whether another web site has made the browser send a request. It may
// link to the page, but neither press its buttons nor take the place of its viewers.
func isForeign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.Method != http.MethodGet || r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate"
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
