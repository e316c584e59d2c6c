package inspect

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// writeWithin is the longest time that a viewer may read nothing.
const writeWithin = 10 * time.Second

// serveEvents sends all rows, and then their changes.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	if foreign(w, r) {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would buffer the stream
	if r.Method == http.MethodHead {
		return
	}
	rc := http.NewResponseController(w)
	if err := rc.Flush(); errors.Is(err, http.ErrNotSupported) {
		answer(w, http.StatusInternalServerError, "a handler around this one keeps it from streaming: its ResponseWriter needs Unwrap or Flush")
		return
	}
	shutdown := p.shutdown(r)
	v := p.feed.join(p.head())
	defer p.feed.leave(v)

	// Some ResponseWriters have no deadlines; then only this viewer's own goroutine blocks.
	hurry := func() { _ = rc.SetWriteDeadline(time.Now().Add(writeWithin)) }
	defer hurry() // for the end of the response, which is written after this
	send := func(parts ...[]byte) bool {
		hurry()
		for _, part := range parts {
			if _, err := w.Write(part); err != nil {
				return false
			}
		}
		return rc.Flush() == nil
	}

	// retry is the browser's delay before it reconnects, in milliseconds.
	if !send([]byte("retry: 1000\nevent: all\ndata: "), v.first, []byte("\n\n")) {
		return
	}
	v.first = nil // large, and not needed any more
	for {
		select {
		case update, ok := <-v.updates:
			if !ok || !send([]byte("data: "), update, []byte("\n\n")) {
				return
			}
		case <-r.Context().Done():
			return
		case <-shutdown:
			return
		}
	}
}

// shutdown returns a channel that is closed when the server of r shuts down. Without it
// [http.Server.Shutdown], which does not end requests, would wait for the stream for ever.
func (p *Page) shutdown(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if down, ok := p.servers[server]; ok {
		return down
	}
	if p.servers == nil {
		p.servers = map[*http.Server]chan struct{}{}
	}
	down := make(chan struct{})
	p.servers[server] = down
	server.RegisterOnShutdown(sync.OnceFunc(func() { close(down) }))
	return down
}
