package wstest

import (
	"io"
	"net/http"
	"time"
)

// An Answer is what a server does with one handshake.
type Answer struct {
	do func(s *Server, w http.ResponseWriter, r *http.Request)
}

// AcceptOptions say how to accept.
type AcceptOptions struct {
	Header       http.Header // added to the response
	Subprotocols []string    // that the server knows, the preferred one first
	Compression  bool        // take an offer of permessage-deflate
}

// Accept accepts.
func Accept() Answer { return AcceptWith(AcceptOptions{}) }

// AcceptWith accepts in a certain way.
func AcceptWith(o AcceptOptions) Answer {
	return Answer{func(s *Server, w http.ResponseWriter, r *http.Request) { s.accept(w, r, o, nil) }}
}

// AcceptThenCut accepts, and cuts the connection at once.
func AcceptThenCut(how Cut) Answer {
	return Answer{func(s *Server, w http.ResponseWriter, r *http.Request) {
		s.accept(w, r, AcceptOptions{}, func(c *Conn) { c.Cut(how) })
	}}
}

// Status answers with an HTTP status, a header, which may be nil, and a body.
func Status(code int, header http.Header, body string) Answer {
	return Answer{func(_ *Server, w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}}
}

// CutHandshake cuts the connection instead of answering.
func CutHandshake(how Cut) Answer {
	return Answer{func(_ *Server, _ http.ResponseWriter, r *http.Request) { faultConnOf(r).cut(how) }}
}

// NoAnswer never answers. It ends when the client gives up or the server stops.
func NoAnswer() Answer {
	return Answer{func(s *Server, _ http.ResponseWriter, r *http.Request) { s.waitForEnd(r) }}
}

// Delay waits, and then answers.
func Delay(d time.Duration, a Answer) Answer {
	return Answer{func(s *Server, w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			a.do(s, w, r)
		case <-s.stopping():
		case <-r.Context().Done():
		}
	}}
}

// Raw answers with these very bytes, and leaves the connection open until the
// client or the server ends it.
func Raw(response string) Answer {
	return Answer{func(s *Server, _ http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(faultConnOf(r), response)
		s.waitForEnd(r)
	}}
}

func (s *Server) waitForEnd(r *http.Request) {
	select {
	case <-s.stopping():
	case <-r.Context().Done():
	}
	faultConnOf(r).cut(FIN)
}

// stopping is closed by Stop.
func (s *Server) stopping() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}
