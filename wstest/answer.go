package wstest

import (
	"io"
	"net/http"
	"time"
)

// An Answer is what a server does with one handshake. Answers may be shared by any
// number of handshakes and servers.
type Answer struct {
	do func(s *Server, w http.ResponseWriter, r *http.Request)
}

// An AcceptOption sets one thing about how [Accept] completes a handshake. A later option
// replaces an earlier one of the same name.
type AcceptOption func(*acceptance)

// acceptance is the configuration made by the options of one Accept.
type acceptance struct {
	header       http.Header
	subprotocols []string
	compression  bool
	then         func(*Conn) // runs instead of the function given to Server.OnConn
}

// WithHeader sets fields that are added to the header of the response. Default none.
func WithHeader(header http.Header) AcceptOption { return func(a *acceptance) { a.header = header } }

// WithSubprotocols sets the subprotocols that the server supports, the preferred one
// first. Default none.
func WithSubprotocols(names ...string) AcceptOption {
	return func(a *acceptance) { a.subprotocols = names }
}

// WithCompression accepts an offer of permessage-deflate. Default off.
func WithCompression() AcceptOption { return func(a *acceptance) { a.compression = true } }

// Accept completes the handshake.
func Accept(options ...AcceptOption) Answer {
	var a acceptance
	for _, option := range options {
		if option == nil {
			panic("wstest: Accept: an option is nil")
		}
		option(&a)
	}
	return a.answer()
}

// AcceptThenCut completes the handshake and cuts the connection at once.
func AcceptThenCut(how Cut) Answer {
	return acceptance{then: func(c *Conn) { c.Cut(how) }}.answer()
}

func (a acceptance) answer() Answer {
	return Answer{func(s *Server, w http.ResponseWriter, r *http.Request) { s.accept(w, r, a) }}
}

// Status answers with an HTTP status, header fields (nil for none) and a body.
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

// NoAnswer leaves the handshake without an answer until the client gives up or the
// server stops.
func NoAnswer() Answer {
	return Answer{func(s *Server, _ http.ResponseWriter, r *http.Request) { s.waitForEnd(r) }}
}

// Delay waits for d before it answers with a. A client that gives up, or a stop of the
// server, ends the wait.
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

// Raw answers with the bytes of response, and leaves the connection open until the
// client closes it or the server stops.
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
