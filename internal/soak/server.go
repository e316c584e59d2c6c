package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/wstest"
)

// newsEvery is the interval of news on each connection.
const newsEvery = 250 * time.Millisecond

// A server answers confirmed messages, and sends news.
type server struct {
	*wstest.Server
	accounts []*account

	mu       sync.Mutex
	peers    map[*wstest.Conn]*peer // open
	latest   []*peer                // by client
	refusals [][]wstest.Answer      // by client: for its next handshakes
	down     bool                   // stopped, or about to be
}

// A peer is the server's side of one connection.
type peer struct {
	*wstest.Conn
	account *account
	mute    atomic.Bool // sends nothing any more, no pongs either
	doubly  atomic.Bool // confirms everything twice

	mu   sync.Mutex
	link int  // its number, once the login has been read
	hurt bool // a fault has happened to it
}

func newServer(addr string, accounts []*account) *server {
	s := &server{
		accounts: accounts,
		Server:   wstest.NewServer(wstest.WithoutRecords(), wstest.WithAddr(addr)),
		peers:    map[*wstest.Conn]*peer{},
		latest:   make([]*peer, len(accounts)),
		refusals: make([][]wstest.Answer, len(accounts)),
	}
	s.AnswerFunc(s.answer)
	s.OnConn(s.serve)
	s.OnMessage(s.read)
	return s
}

func (s *server) clientURL(client int) string { return fmt.Sprintf("%s/?client=%d", s.URL(), client) }

func clientOf(r *http.Request) int {
	client, err := strconv.Atoi(r.URL.Query().Get("client"))
	if err != nil {
		panic(err) // not a client of this program
	}
	return client
}

// answer returns the answer to a handshake.
func (s *server) answer(r *http.Request) wstest.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := clientOf(r)
	if queued := s.refusals[client]; len(queued) > 0 {
		s.refusals[client] = queued[1:]
		return queued[0]
	}
	return wstest.Accept()
}

// refuse sets the answer to the client's next handshake.
func (s *server) refuse(client int, a wstest.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[client] = append(s.refusals[client], a)
}

// forgive discards the refusals that have not been used.
func (s *server) forgive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.refusals)
}

// peer returns the peer of a connection. The first call of it, by either of two goroutines,
// makes it.
func (s *server) peer(c *wstest.Conn) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[c]
	if p == nil {
		client := clientOf(c.Request())
		p = &peer{Conn: c, account: s.accounts[client], hurt: s.down}
		s.peers[c] = p
		s.latest[client] = p
	}
	return p
}

// current returns the client's open connection, or nil.
func (s *server) current(client int) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest[client]
}

// goingDown harms all connections, and those that are made before goingUp.
func (s *server) goingDown() {
	s.mu.Lock()
	s.down = true
	var all []*peer
	for _, p := range s.peers {
		all = append(all, p)
	}
	s.mu.Unlock()
	for _, p := range all {
		p.harm()
	}
}

func (s *server) goingUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
}

// harm records that a fault is about to happen to the connection.
func (p *peer) harm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurt = true
	if p.link > 0 {
		p.account.harm(p.link)
	}
}

// serve sends news until the connection ends.
func (s *server) serve(c *wstest.Conn) {
	p := s.peer(c)
	ticker := time.NewTicker(newsEvery)
	defer ticker.Stop()
	for number := 0; ; {
		select {
		case <-ticker.C:
			if link, ok := p.loggedIn(); ok && !p.mute.Load() {
				number++
				_ = p.SendJSON(packet{Type: news, Client: p.account.client, Link: link, Number: number})
			}
		case <-c.Done():
			s.left(p)
			return
		}
	}
}

func (p *peer) loggedIn() (link int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link, p.link > 0
}

func (s *server) left(p *peer) {
	s.mu.Lock()
	delete(s.peers, p.Conn)
	if s.latest[p.account.client] == p {
		s.latest[p.account.client] = nil
	}
	s.mu.Unlock()
	if link, ok := p.loggedIn(); ok {
		p.account.serverLeft(link)
	}
}

// read is called for each message, in the connection's order.
func (s *server) read(c *wstest.Conn, m wstest.Message) {
	p := s.peer(c)
	in, err := readPacket(m.Data)
	if err != nil {
		p.account.fail("the server received what no client sends: %.60q: %v", m.Data, err)
		return
	}
	switch {
	case in.Type == login:
		p.mu.Lock()
		p.link = in.Link
		p.account.loggedIn(in.Link, p.hurt)
		p.mu.Unlock()
	case in.numbered():
		link, ok := p.loggedIn()
		if !ok {
			p.account.fail("the server received %s message %d before the login", in.Type, in.Number)
			return
		}
		p.account.got(link, in)
		if in.Type == confirmed && !p.mute.Load() {
			answer := packet{Type: confirmation, Client: in.Client, Number: in.Number}
			_ = p.SendJSON(answer)
			if p.doubly.Load() {
				_ = p.SendJSON(answer)
			}
		}
	}
}
