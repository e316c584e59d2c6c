package inspect

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// writeWithin is how long a viewer may take none of what they are sent.
const writeWithin = 10 * time.Second

// serveEvents sends everything, and then what changes.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	if foreign(w, r) {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back
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

	// Not every ResponseWriter has deadlines; without, only this viewer's own
	// goroutine hangs.
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

	// How soon the browser comes back after the stream broke.
	if !send([]byte("retry: 1000\nevent: all\ndata: "), v.first, []byte("\n\n")) {
		return
	}
	v.first = nil // it is large, and sent
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

// shutdown is closed when the server that serves r shuts down, which would otherwise
// wait for the stream for ever: http.Server.Shutdown does not end requests.
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
