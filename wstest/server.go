package wstest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/wechatws/wechatws/internal/freeport"
	"github.com/wechatws/wechatws/internal/handshake"
)

// A Cut is a way to end a connection without a close frame.
type Cut int

const (
	// FIN closes the TCP connection in an orderly way: the client reads EOF.
	FIN Cut = iota
	// RST resets the TCP connection.
	RST
)

// String returns "FIN" or "RST".
func (c Cut) String() string {
	switch c {
	case FIN:
		return "FIN"
	case RST:
		return "RST"
	}
	return fmt.Sprintf("Cut(%d)", int(c))
}

// MarshalText implements [encoding.TextMarshaler], with what String returns.
func (c Cut) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// A Server is a WebSocket server that a test controls. Make it with [NewServer]. Its
// methods may be called from any goroutine.
type Server struct {
	network *Network // nil: loopback
	addr    string   // empty until the server listens: a free port
	tls     *tls.Config
	client  *tls.Config
	forget  bool // keep no records
	onEvent func(Event)
	limit   int64 // of a message, in bytes; -1 is none

	running sync.WaitGroup // goroutines

	mu        sync.Mutex
	http      *http.Server // nil while stopped
	stopped   chan struct{}
	closed    bool
	raw       map[*faultConn]struct{} // open, below TLS and HTTP
	answers   []Answer
	fallback  func(*http.Request) Answer
	onConn    func(*Conn)
	onMessage func(*Conn, Message)
	conns     []*Conn
	accepted  int // number of connections so far
	taken     int // by NextConn
	changed   chan struct{}
	events    []Event
}

// An Option sets one thing about a [Server]. A later option replaces an earlier one of
// the same name.
type Option func(*Server)

// WithNetwork makes the server listen on a network in memory, at "server.test:80", or
// "server.test:443" with [WithTLS]; while a server listens there, at the next free port, such as
// "server.test:81". [WithAddr] sets another address. The default is the loopback interface.
func WithNetwork(n *Network) Option { return func(s *Server) { s.network = n } }

// WithAddr sets the address to listen on. The default is a free port of 127.0.0.1,
// outside the range of outgoing connections, so that it is still free when
// [Server.Start] follows [Server.Stop].
func WithAddr(addr string) Option { return func(s *Server) { s.addr = addr } }

// WithTLS serves wss, with a new self-signed certificate for localhost and server.test;
// see [Server.ClientTLS] and [Server.Certificate]. The default is ws.
func WithTLS() Option {
	return func(s *Server) { s.tls, s.client = makeTLS() }
}

// WithoutRecords keeps no events, no messages and no connection that has ended, for
// servers that run for days: [Server.Events], [Server.Handshakes], [Conn.Received] and
// [Conn.Receive] return nothing then, and [Server.Conns] and [Server.NextConn] only
// open connections. The default is to keep everything.
func WithoutRecords() Option { return func(s *Server) { s.forget = true } }

// WithEvents calls fn with each event, also with [WithoutRecords], on the goroutine of the
// handshake or the connection, which waits for it. Events of different connections may come at
// the same time. Default none.
func WithEvents(fn func(Event)) Option { return func(s *Server) { s.onEvent = fn } }

// WithReadLimit sets the largest message that the server reads, in bytes. A larger one ends its
// connection with the close code 1009. The default, and a limit that is not above zero, is none.
func WithReadLimit(bytes int64) Option {
	return func(s *Server) {
		if s.limit = bytes; bytes <= 0 {
			s.limit = -1
		}
	}
}

// NewServer starts a server that accepts every handshake unless [Server.Answer],
// [Server.AnswerAlways] or [Server.AnswerFunc] was called. It panics if it cannot listen. The caller must call
// [Server.Close].
func NewServer(options ...Option) *Server {
	s := &Server{limit: -1, raw: map[*faultConn]struct{}{}, changed: make(chan struct{})}
	s.fallback = func(*http.Request) Answer { return Accept() }
	for _, option := range options {
		if option == nil {
			panic("wstest: NewServer: an option is nil")
		}
		option(s)
	}
	switch {
	case s.addr != "":
	case s.network != nil && s.tls != nil:
		s.addr = s.network.free(443)
	case s.network != nil:
		s.addr = s.network.free(80)
	}
	s.Start()
	return s
}

// Start listens again, on the same address, after [Server.Stop]. It does nothing while
// the server listens and after [Server.Close], and panics if it cannot listen.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil || s.closed {
		return
	}
	l, err := s.listen()
	if err != nil {
		panic(fmt.Sprintf("wstest: cannot listen: %v", err))
	}
	stamp(l)
	s.addr = l.Addr().String()
	s.stopped = make(chan struct{})
	var serving net.Listener = &faultListener{l, s}
	if s.tls != nil {
		serving = tls.NewListener(serving, s.tls)
	}
	s.http = &http.Server{
		Handler:     http.HandlerFunc(s.handshake),
		ConnContext: withFaultConn,
		ErrorLog:    log.New(io.Discard, "", 0), // it would log every cut
	}
	server := s.http
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		_ = server.Serve(serving) // returns after Stop
	}()
}

func (s *Server) listen() (net.Listener, error) {
	switch {
	case s.network != nil:
		return s.network.Listen(s.addr)
	case s.addr == "":
		return freeport.Listen("127.0.0.1")
	default:
		return net.Listen("tcp", s.addr)
	}
}

// Stop stops listening, so that dials are refused, and cuts every connection,
// including those in the middle of a handshake. It returns when all goroutines of the
// server have ended. [Server.Start] listens again.
func (s *Server) Stop(how Cut) {
	s.mu.Lock()
	server := s.http
	s.http = nil
	var raw []*faultConn
	for c := range s.raw {
		raw = append(raw, c)
	}
	if server != nil {
		close(s.stopped)
	}
	s.mu.Unlock()
	for _, c := range raw {
		c.cut(how)
	}
	if server != nil {
		_ = server.Close()
	}
	s.running.Wait()
}

// Close stops the server for good and returns when all its goroutines have ended. The
// functions given to [Server.OnConn] and [Server.OnMessage] must not call it.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Stop(FIN)
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL returns the server's ws or wss URL, without a path.
func (s *Server) URL() string {
	if s.tls != nil {
		return "wss://" + s.Addr()
	}
	return "ws://" + s.Addr()
}

// ClientTLS returns a configuration that trusts the server's certificate only, or nil
// without [WithTLS]. Its RootCAs is a pool with the [Server.Certificate].
func (s *Server) ClientTLS() *tls.Config { return s.client.Clone() }

// Certificate returns the server's self-signed certificate, or nil without [WithTLS].
// For programs that read the authorities they trust from a file:
//
//	pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
func (s *Server) Certificate() *x509.Certificate {
	if s.tls == nil {
		return nil
	}
	return s.tls.Certificates[0].Leaf
}

// DialContext dials over the server's network: that of [WithNetwork], or the system's.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.network != nil {
		return s.network.DialContext(ctx, network, addr)
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// Answer queues answers for the next handshakes, each for one handshake.
func (s *Server) Answer(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, answers...)
}

// AnswerAlways sets the answer to handshakes for which none is queued. Default
// [Accept]().
func (s *Server) AnswerAlways(a Answer) { s.AnswerFunc(func(*http.Request) Answer { return a }) }

// AnswerFunc sets a function that returns the answer to a handshake for which none is
// queued. It is called on the goroutine of the handshake's connection.
func (s *Server) AnswerFunc(fn func(*http.Request) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fallback = fn
}

// OnConn sets fn to run on a goroutine of its own for each connection accepted from now
// on. [Server.Stop] and [Server.Close] wait for it: it should return when [Conn.Done] is
// closed.
func (s *Server) OnConn(fn func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onConn = fn
}

// OnMessage sets fn to run for each message, in order, on the goroutine that reads from
// the connection.
func (s *Server) OnMessage(fn func(*Conn, Message)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onMessage = fn
}

// NextConn returns the next accepted connection that no NextConn has returned, in the
// order in which they were accepted. It blocks until there is one, or returns the error
// of ctx. The server has sent its answer to the handshake by then, but the client may not
// have read it: before closing the client, wait for it too (for its Connect to return, or
// for a message), or what it had queued is handed back instead of written.
func (s *Server) NextConn(ctx context.Context) (*Conn, error) {
	for {
		s.mu.Lock()
		if s.taken < len(s.conns) {
			s.taken++
			c := s.conns[s.taken-1]
			s.mu.Unlock()
			return c, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Conns returns all connections that were accepted, in order; see [WithoutRecords].
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.conns)
}

// OpenConns returns the number of connections that are open, as seen by the server. A client may
// see the end of its handshake a moment before the server counts the connection; NextConn waits
// for it.
func (s *Server) OpenConns() (n int) {
	for _, c := range s.Conns() {
		select {
		case <-c.done:
		default:
			n++
		}
	}
	return n
}

// handshake is the HTTP handler.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.running.Done() // also when the function of AnswerFunc panics
	s.record(Event{Kind: EventHandshake, Request: r})
	s.answer(r).do(s, w, r)
}

// begin counts a handler in, unless the server is stopping.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return false
	}
	s.running.Add(1)
	return true
}

// answer returns the next queued answer, or that of AnswerFunc.
func (s *Server) answer(r *http.Request) Answer {
	s.mu.Lock()
	if len(s.answers) > 0 {
		defer s.mu.Unlock()
		a := s.answers[0]
		s.answers = s.answers[1:]
		return a
	}
	decide := s.fallback
	s.mu.Unlock()
	return decide(r)
}

// accept makes the connection and reads from it until it ends.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, a acceptance) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	c := &Conn{server: s, request: r, raw: faultConnOf(r), done: make(chan struct{}), changed: make(chan struct{}), closeCode: 1006}
	options := &websocket.AcceptOptions{
		InsecureSkipVerify: true, // any Origin
		Subprotocols:       a.subprotocols,
		OnPingReceived:     c.pinged,
	}
	if a.compression {
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	ws, err := websocket.Accept(handshake.Server(w), r, options)
	if err != nil { // Accept has answered
		return
	}
	ws.SetReadLimit(s.limit)
	c.ws = ws
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.accepted++
	c.id = s.accepted
	close(s.changed)
	s.changed = make(chan struct{})
	onConn := s.onConn
	s.mu.Unlock()
	s.record(Event{Kind: EventOpen, Conn: c.id, Request: r})
	if a.then != nil {
		a.then(c)
	} else if onConn != nil {
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			onConn(c)
		}()
	}
	c.read()
	if s.forget {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.Index(s.conns, c)
		s.conns = slices.Delete(s.conns, i, i+1)
		if i < s.taken {
			s.taken--
		}
	}
}

// An EventKind is the kind of an [Event].
type EventKind string

// The kinds of Event.
const (
	EventHandshake EventKind = "handshake" // a request; Request is set
	EventOpen      EventKind = "open"      // a connection was accepted; Request is set
	EventMessage   EventKind = "message"   // a message arrived; Message is set
	EventPing      EventKind = "ping"      // a protocol ping arrived
	EventClosed    EventKind = "closed"    // a connection ended; Code and Reason are the client's
)

// An Event is one entry in a server's record.
type Event struct {
	At      time.Time // for a message, a ping and a close frame the time of arrival; see Message.At
	Kind    EventKind
	Conn    int // Conn.ID, zero for a handshake
	Request *http.Request
	Message Message
	Code    int // 1006 when there was no close frame
	Reason  string
}

// Events returns the events since the start or the last [Server.Reset], in the order in
// which they were recorded.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Reset discards the recorded events.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = nil
}

func (s *Server) record(e Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if s.onEvent != nil {
		s.onEvent(e)
	}
	if s.forget {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// Handshakes returns the requests of all recorded handshakes, in order.
func (s *Server) Handshakes() (requests []*http.Request) {
	for _, e := range s.Events() {
		if e.Kind == EventHandshake {
			requests = append(requests, e.Request)
		}
	}
	return requests
}
